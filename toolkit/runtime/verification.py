"""The self-check of a bundle on the host where it shall run."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import sub

from toolkit.runtime import cpu
from toolkit.runtime.arrays import FloatArray
from toolkit.runtime.bundle import (
    AnyBundle,
    Bundle,
    TensorBundle,
    load_generator,
    load_model,
    load_tensors,
    open_any,
)
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.generator import Generator
from toolkit.runtime.host import Engine, Host, host
from toolkit.runtime.manifest import FILE_NAME, OWN_FILES, Golden
from toolkit.runtime.maths import all_finite, cosine
from toolkit.runtime.signature import verify_signature


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, whether it is as it should be, and the figures."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify`` found; ``title`` is the bundle's name and target, once its manifest could be read."""

    bundle: str
    title: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {"ok": self.ok, **asdict(self)}


def verify(
    bundle: str | os.PathLike[str],
    threads: int | None = None,
    engine: Engine | None = None,
    library: str | os.PathLike[str] | None = None,
    public_key: bytes | None = None,
) -> VerifyReport:
    """Check a bundle's files, this CPU and the golden vectors; UsageError if there is no such folder.

    With ``public_key``, the PEM of an ed25519 key, its owner must have signed the bundle. No model is loaded before
    signature and files are found to be right.
    """
    chosen, folder = host(threads, engine, library), os.fspath(bundle)
    try:
        opened = open_any(bundle)
    except BundleError as error:
        return VerifyReport(folder, "", (Check(FILE_NAME, False, str(error)),))
    manifest = opened.manifest
    title = f"{manifest.name} ({manifest.task}) for {manifest.target.name}"
    checks = [Check(FILE_NAME, True, f"schema {manifest.schema}")]
    if public_key is not None:
        checks.append(_check_signature(opened, public_key))
    checks += check_files(opened)
    whole = all(check.ok for check in checks)
    checks += [_check_strangers(opened), _check_cpu(opened)]
    skipped = Check("golden vectors", False, "not run: the files are not the bundle's")
    checks.append(_check_golden(opened, chosen) if whole else skipped)
    return VerifyReport(folder, title, tuple(checks))


def check_files(bundle: AnyBundle) -> Iterator[Check]:
    """Compare size and digest of every file with the manifest's."""
    for name, info in bundle.manifest.files.items():
        problem = bundle.size_problem(name)
        if problem:
            yield Check(name, False, str(problem))
            continue
        with (bundle.folder / name).open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        same = digest == info.sha256
        facts = f"{info.bytes} bytes, sha256 {digest[:12]}"
        yield Check(name, same, facts if same else f"{facts}, expected {info.sha256[:12]}: altered or damaged")


def _check_signature(bundle: AnyBundle, public_key: bytes) -> Check:
    try:
        verify_signature(bundle.folder, public_key)
    except BundleError as error:
        return Check("signature", False, str(error))
    return Check("signature", True, "by the key that was named")


def _check_strangers(bundle: AnyBundle) -> Check:
    known = {*OWN_FILES, *bundle.manifest.files}
    strangers = sorted(path.name for path in bundle.folder.iterdir() if path.name not in known)
    count = 1 + len(bundle.manifest.files)
    detail = f"not in the manifest: {', '.join(strangers)}" if strangers else f"none beside the {count} of the bundle"
    return Check("other files", not strangers, detail)


def _check_cpu(bundle: AnyBundle) -> Check:
    target, here = bundle.manifest.target, cpu.architecture()
    if target.architecture != here:
        return Check("cpu", False, f"the bundle is for {target.architecture}, this is {here}")
    lacking = cpu.missing(target.requires)
    detail = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(target.requires) or 'all that is needed'}"
    return Check("cpu", not lacking, f"{here}, {detail}")


def _check_golden(bundle: Bundle | TensorBundle, chosen: Host) -> Check:
    if isinstance(bundle, TensorBundle):
        return _check_golden_tensors(bundle, chosen)
    golden = bundle.manifest.golden
    try:
        if bundle.manifest.task == "text-generation":
            return _compare_ids(golden, load_generator(bundle, chosen))
        model = load_model(bundle, chosen)
        got = model.flat(golden.inputs, by_token=bundle.manifest.task == "token-classification")
    except BundleError as error:
        return Check("golden vectors", False, str(error))
    return compare_golden(golden, got)


def _compare_ids(golden: Golden, generator: Generator) -> Check:
    """Judge the tokens that follow each text: they must be the golden ones."""
    expected = [[int(token) for token in output] for output in golden.outputs]
    got = [generator.greedy_ids(text, len(ids)) for text, ids in zip(golden.texts, expected, strict=True)]
    bad = [str(text) for text in range(len(got)) if got[text] != expected[text]]
    detail = f"{len(got)} texts, {sum(map(len, expected))} tokens chosen greedily"
    told = f"{detail}; other tokens: text {', '.join(bad[:8])}" if bad else f"{detail}, all the same"
    return Check("golden vectors", not bad, told)


def _check_golden_tensors(bundle: TensorBundle, chosen: Host) -> Check:
    from toolkit.runtime import tensor_golden  # noqa: PLC0415 - imports numpy

    try:
        model = load_tensors(bundle, chosen)
        worst = tensor_golden.worst_db(model, bundle.folder, bundle.manifest.golden)
    except (BundleError, UsageError) as error:
        return Check("golden vectors", False, str(error))
    golden = bundle.manifest.golden
    detail = f"{golden.rows} feeds, worst SQNR {worst:.1f} dB (limit {golden.min_sqnr_db:g})"
    return Check("golden vectors", worst >= golden.min_sqnr_db, detail)


def compare_golden(golden: Golden, got: Sequence[FloatArray]) -> Check:
    """Judge each text's output, flat, by the golden one: by their cosine and largest difference."""
    pairs = [(a, b.tolist()) for a, b in zip(golden.outputs, got, strict=True)]
    if not all(all_finite(b) for _, b in pairs):
        return Check("golden vectors", False, "the output is NaN or infinite")
    for text, (a, b) in enumerate(pairs):
        if len(a) != len(b):
            return Check("golden vectors", False, f"text {text} has {len(b)} numbers, not {len(a)} as built")
    alike = [cosine(a, b) for a, b in pairs]
    differences = [max(map(abs, map(sub, a, b))) for a, b in pairs]
    # An equal vector's cosine may come out a rounding below 1.
    bad = [
        str(text)
        for text in range(len(pairs))
        if alike[text] < golden.min_cosine - 1e-12 or differences[text] > golden.max_difference
    ]
    detail = (
        f"{len(pairs)} texts, worst cosine {min(alike):.6f} (limit {golden.min_cosine:g}), "
        f"largest difference {max(differences):.2g} (limit {golden.max_difference:g})"
    )
    return Check("golden vectors", not bad, f"{detail}; failed: text {', '.join(bad[:8])}" if bad else detail)
