"""Which bundles are served: found, checked to the last byte, and the best for this CPU of those of one name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from toolkit.runtime import cpu
from toolkit.runtime.bundle import Bundle, Loaded, load_opened, open_any, open_bundle
from toolkit.runtime.classifier import Classifier
from toolkit.runtime.embedder import Embedder
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.host import Host
from toolkit.runtime.manifest import FILE_NAME, Manifest
from toolkit.runtime.reranker import Reranker
from toolkit.runtime.server.batching import Engine
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.server.log import log
from toolkit.runtime.signature import verify_signature
from toolkit.runtime.token_classifier import TokenClassifier
from toolkit.runtime.tokenization import Text
from toolkit.runtime.verification import check_files
from toolkit.runtime.windows import Windows

WINDOWS = Windows()
"""How long texts are read where a request asks for it."""


@dataclass(frozen=True)
class Candidate:
    """A bundle, and why this CPU cannot run it; empty where it can."""

    bundle: Bundle
    refusal: str

    @property
    def title(self) -> str:
        """Its name and target."""
        return f"{self.bundle.manifest.name} for {self.bundle.manifest.target.name}"


def find_bundles(paths: Sequence[Path]) -> list[Bundle]:
    """Open every bundle that is named, and every one of a text model in a folder that is named.

    UsageError for a folder of none, and for a bundle whose model reads no texts.
    """
    found: dict[Path, Bundle] = {}
    for path in paths:
        folders = [path] if (path / FILE_NAME).exists() or not path.is_dir() else list(_inside(path))
        if not folders:
            expected = f"a bundle, or a folder of bundles: a {FILE_NAME} in each"
            raise UsageError("there is no bundle in the folder", where=path, expected=expected)
        opened = [bundle for bundle in map(open_any, folders) if isinstance(bundle, Bundle)]
        found |= {bundle.folder.resolve(): bundle for bundle in opened or [open_bundle(folders[0])]}
    return list(found.values())


def choose(bundles: Sequence[Bundle]) -> list[Bundle]:
    """Return one bundle of each name, in the order given: of those that this CPU can run, the one that asks most of it.

    BundleError where it can run none of a name; UsageError where two of a name are for the same target.
    """
    groups: dict[str, list[Candidate]] = {}
    for bundle in bundles:
        groups.setdefault(bundle.manifest.name, []).append(Candidate(bundle, _refusal(bundle.manifest)))
    return [_best(name, candidates) for name, candidates in groups.items()]


def check(bundle: Bundle, public_key: bytes | None) -> None:
    """Compare every file with the manifest, and the manifest with its signature where a key is given."""
    if public_key is not None:
        verify_signature(bundle.folder, public_key)
    for found in check_files(bundle):
        if not found.ok:
            what = "the bundle is not whole, so it is not served"
            hint = "the copy is incomplete or altered: copy the bundle again"
            raise BundleError(what, where=bundle.folder / found.name, got=found.detail, hint=hint)


def load_limited(bundle: Bundle, host: Host, limits: Limits) -> Loaded:
    """Load a bundle whose runs are kept as small as the limits say."""
    manifest = bundle.manifest
    session = replace(manifest.session, max_batch_tokens=min(manifest.session.max_batch_tokens, limits.batch_tokens))
    return load_opened(replace(bundle, manifest=replace(manifest, session=session)), host)


def engine(name: str, loaded: Embedder | Classifier | Reranker | TokenClassifier) -> Engine:
    """Return what a Batcher runs of a model."""
    count = loaded.model.count_tokens
    in_windows = partial(count, windows=WINDOWS)
    if isinstance(loaded, Embedder):
        return Engine(name, _embeddings(loaded, None), count, Engine(name, _embeddings(loaded, WINDOWS), in_windows))
    if isinstance(loaded, Classifier):
        run = partial(loaded.classify, windows=WINDOWS)
        return Engine(name, loaded.classify, count, Engine(name, run, in_windows))
    if isinstance(loaded, Reranker):
        return Engine(name, loaded.score_pairs, count)
    return Engine(name, _entities(loaded, None), count, Engine(name, _entities(loaded, WINDOWS), in_windows))


def _embeddings(loaded: Embedder, windows: Windows | None) -> Callable[[Sequence[Text]], Sequence[object]]:
    return lambda texts: list(loaded.embed(texts, windows=windows))


def _entities(loaded: TokenClassifier, windows: Windows | None) -> Callable[[Sequence[Text]], Sequence[object]]:
    return lambda texts: loaded.entities(cast(Sequence[str], texts), windows=windows)


def _inside(folder: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(folder.glob(f"*/{FILE_NAME}")))


def _refusal(manifest: Manifest) -> str:
    here = cpu.architecture()
    if manifest.target.architecture != here:
        return f"it is for {manifest.target.architecture}, this is {here}"
    lacking = cpu.missing(manifest.target.requires)
    return f"this CPU lacks {', '.join(lacking)}" if lacking else ""


def _best(name: str, candidates: Sequence[Candidate]) -> Bundle:
    able = [candidate for candidate in candidates if not candidate.refusal]
    if not able:
        got = "; ".join(f"{candidate.title}: {candidate.refusal}" for candidate in candidates)
        hint = "edgequant doctor tells which target suits this CPU"
        raise BundleError("this CPU can run none of the bundles of one name", where=name, got=got, hint=hint)
    targets = [candidate.bundle.manifest.target.name for candidate in candidates]
    for target in targets:
        if targets.count(target) > 1:
            where = ", ".join(str(candidate.bundle.folder) for candidate in candidates)
            raise UsageError("two bundles have the same name and target", where=where, got=f"{name} for {target}")
    best = max(able, key=lambda candidate: len(candidate.bundle.manifest.target.requires)).bundle
    others = ", ".join(target for target in targets if target != best.manifest.target.name)
    log("info", "chosen", {"model": name, "target": best.manifest.target.name, "others": others})
    return best
