"""A bundle's folder: manifest read, files present, model loaded."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.runtime.classifier import Classifier
from toolkit.runtime.embedder import Embedder
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.generator import Generator
from toolkit.runtime.host import Engine, Host, host
from toolkit.runtime.manifest import CHECKSUM, FILE_NAME, Manifest, check_manifest
from toolkit.runtime.model import TextModel
from toolkit.runtime.reranker import Reranker
from toolkit.runtime.tensor_manifest import AnyManifest, TensorManifest, read_manifest
from toolkit.runtime.token_classifier import TokenClassifier

if TYPE_CHECKING:
    from toolkit.runtime.tensors import TensorModel


@dataclass(frozen=True)
class AnyBundle:
    """A folder and what its manifest says: of a model of texts or of arrays."""

    folder: Path
    manifest: AnyManifest

    def size_problem(self, name: str) -> BundleError | None:
        """Return what is wrong with presence or size of the manifest's file ``name``, or None."""
        path, expected = self.folder / name, self.manifest.files[name].bytes
        hint = "the copy is incomplete or altered: copy the bundle again"
        if not path.is_file():
            return BundleError("a file of the bundle is missing", where=path, hint=hint)
        got = path.stat().st_size
        if got != expected:
            what = "a file of the bundle has the wrong size"
            return BundleError(what, where=path, got=f"{got} bytes", expected=f"{expected} bytes", hint=hint)
        return None

    def check_sizes(self) -> None:
        """Raise BundleError where a file is missing or has another size than the manifest says."""
        for name in self.manifest.files:
            problem = self.size_problem(name)
            if problem:
                raise problem


@dataclass(frozen=True)
class Bundle(AnyBundle):
    """A bundle of a text model."""

    manifest: Manifest


@dataclass(frozen=True)
class TensorBundle(AnyBundle):
    """A bundle of a model that takes and gives arrays."""

    manifest: TensorManifest


def open_bundle(bundle: str | os.PathLike[str]) -> Bundle:
    """Open the bundle of a text model; UsageError where it is one of arrays, otherwise as ``open_any``."""
    opened = open_any(bundle)
    if isinstance(opened, Bundle):
        return opened
    hint = "edgequant run BUNDLE INPUTS.npz"
    raise UsageError("the bundle's model takes arrays, not texts", where=opened.folder, got=opened.manifest.task,
                     expected="a bundle of a text model", hint=hint)  # fmt: skip


def open_any(bundle: str | os.PathLike[str]) -> Bundle | TensorBundle:
    """Read a bundle's manifest; UsageError if there is no such folder, BundleError if it is no bundle."""
    folder = Path(bundle)
    if folder.is_file():
        hint = "an archive must be unpacked first: edgequant unpack ARCHIVE -o DIR"
        raise UsageError("the bundle is a file, not a folder", where=folder, hint=hint)
    if not folder.is_dir():
        hint = "edgequant quantize writes one"
        raise UsageError("there is no such bundle", where=folder, expected=f"a folder with {FILE_NAME}", hint=hint)
    path = folder / FILE_NAME
    if not path.is_file():
        hint = "give the folder that edgequant quantize wrote"
        raise BundleError("the folder is not a bundle", where=folder, expected=f"a {FILE_NAME} in it", hint=hint)
    data, checksum = path.read_bytes(), folder / CHECKSUM
    if checksum.is_file():
        check_manifest(data, checksum.read_bytes(), checksum)
    manifest = read_manifest(data, path)
    return Bundle(folder, manifest) if isinstance(manifest, Manifest) else TensorBundle(folder, manifest)


Loaded = Embedder | Classifier | Reranker | TokenClassifier | Generator
"""What a bundle of a text model becomes."""


def load_model(bundle: Bundle, chosen: Host | int | None = None) -> TextModel:
    """Load the model and the tokenizer of a bundle, after a look at presence and size of all files."""
    manifest = bundle.manifest
    text = _tokenizer_text(bundle)
    model = bundle.folder / manifest.model.file
    return TextModel(model, text, manifest.model, manifest.tokenizer, manifest.session, chosen)


def load_generator(bundle: Bundle, chosen: Host | int | None = None) -> Generator:
    """Load a bundle for text generation, after the same look."""
    infos = bundle.manifest
    return Generator(bundle.folder, _tokenizer_text(bundle), infos.model, infos.tokenizer, infos.session, chosen)


def load(
    bundle: str | os.PathLike[str],
    threads: int | None = None,
    engine: Engine | None = None,
    library: str | os.PathLike[str] | None = None,
) -> "Loaded | TensorModel":
    """Load the bundle in a folder, ready to run; ``threads`` defaults to what this process may use.

    ``engine`` is ``python`` or ``capi``, by default ``python`` where numpy and onnxruntime's package are
    installed; ``library`` is the libonnxruntime.so that ``capi`` takes, by default the installed one.
    Presence and size of each file are checked here, digests and golden vectors by ``verify``.
    """
    opened, chosen = open_any(bundle), host(threads, engine, library)
    return load_opened(opened, chosen) if isinstance(opened, Bundle) else load_tensors(opened, chosen)


def load_tensors(bundle: TensorBundle, chosen: Host) -> "TensorModel":
    """Load the model of a bundle of arrays, after a look at presence and size of all files."""
    from toolkit.runtime.tensors import TensorModel  # noqa: PLC0415 - imports numpy, which a text model may lack

    bundle.check_sizes()
    manifest = bundle.manifest
    return TensorModel(bundle.folder / manifest.model.file, manifest.model, manifest.session, chosen)


def load_opened(bundle: Bundle, chosen: Host) -> Loaded:
    """Load a bundle whose manifest was read."""
    task, labels = bundle.manifest.task, bundle.manifest.labels
    if task == "text-generation":
        return load_generator(bundle, chosen)
    model = load_model(bundle, chosen)
    if task == "embedding":
        return Embedder(model, bundle.manifest.normalize)
    if task == "reranking":
        return Reranker(model)
    if task == "token-classification":
        return TokenClassifier(model, labels)
    return Classifier(model, labels, bundle.manifest.multi_label)


def _tokenizer_text(bundle: Bundle) -> str:
    """Return the tokenizer's file, after a look at presence and size of all files."""
    bundle.check_sizes()
    path = bundle.folder / bundle.manifest.tokenizer.file
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError("the tokenizer is not UTF-8", where=path, got=f"a wrong byte at {error.start}") from None
