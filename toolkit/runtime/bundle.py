"""A bundle's folder: manifest read, files present, model loaded."""

import os
from dataclasses import dataclass
from pathlib import Path

from toolkit.runtime.classifier import Classifier
from toolkit.runtime.embedder import Embedder
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.generator import Generator
from toolkit.runtime.host import Engine, Host, host
from toolkit.runtime.manifest import CHECKSUM, FILE_NAME, Manifest, check_manifest
from toolkit.runtime.model import TextModel
from toolkit.runtime.reranker import Reranker
from toolkit.runtime.token_classifier import TokenClassifier


@dataclass(frozen=True)
class Bundle:
    """A folder and what its manifest says."""

    folder: Path
    manifest: Manifest

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


def open_bundle(bundle: str | os.PathLike[str]) -> Bundle:
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
    return Bundle(folder, Manifest.from_json(data, path))


Loaded = Embedder | Classifier | Reranker | TokenClassifier | Generator
"""What ``load`` returns."""


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
) -> Loaded:
    """Load the bundle in a folder, ready to run; ``threads`` defaults to what this process may use.

    ``engine`` is ``python`` or ``capi``, by default ``python`` where numpy and onnxruntime's package are
    installed; ``library`` is the libonnxruntime.so that ``capi`` takes, by default the installed one.
    Presence and size of each file are checked here, digests and golden vectors by ``verify``.
    """
    return load_opened(open_bundle(bundle), host(threads, engine, library))


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
    for name in bundle.manifest.files:
        problem = bundle.size_problem(name)
        if problem:
            raise problem
    path = bundle.folder / bundle.manifest.tokenizer.file
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError("the tokenizer is not UTF-8", where=path, got=f"a wrong byte at {error.start}") from None
