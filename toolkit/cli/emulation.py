"""Options that the commands which emulate a CPU have in common."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UsageError
from toolkit.runtime.options import positive

if TYPE_CHECKING:
    from toolkit.isa.sentences import Sample
    from toolkit.runtime.manifest import Manifest


def add_qemu(parser: ArgumentParser) -> None:
    """Add the option that names another QEMU."""
    parser.add_argument(
        "--qemu", type=Path, metavar="FOLDER", help="take qemu-aarch64 and qemu-x86_64 from here, not from PATH"
    )


def add_sample(parser: ArgumentParser) -> None:
    """Add the options that choose real sentences."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--sample", type=positive, metavar="N", help="compare N real sentences too, layer by layer")
    size.add_argument(
        "--budget", type=_seconds, metavar="SECONDS", help="the same with as many as fit into the time, in each place"
    )
    parser.add_argument(
        "--texts", metavar="FILE", help="the sentences, .txt or .jsonl (default: the shipped evaluation set)"
    )


def sample_of(args: Namespace, manifest: "Manifest") -> "Sample | None":
    """Return the sentences that the options ask for; None if they ask for nothing."""
    if args.sample or args.budget:
        return sample_or(args, manifest, None)
    if args.texts is not None:
        raise UsageError("--texts says which sentences, not how many", hint="add --sample N or --budget SECONDS")
    return None


def sample_or(args: Namespace, manifest: "Manifest", default: int | None) -> "Sample":
    """Return the sentences that the options ask for, ``default`` of them if they ask for no number."""
    from toolkit.isa.sentences import Sample  # noqa: PLC0415 - a device has no onnx

    if manifest.task == "text-generation":
        hint = "edgequant verify BUNDLE --isa …, which compares its golden tokens"
        raise UsageError("sentences are run through encoders, and this bundle is for text generation", hint=hint)
    count = args.sample or (None if args.budget else default)
    return Sample(_texts(args.texts, manifest), count, args.budget)


def _texts(file: str | None, manifest: "Manifest") -> tuple[str | tuple[str, str], ...]:
    from toolkit.runtime.reading import read_texts  # noqa: PLC0415
    from toolkit.samples import default_set, load_samples  # noqa: PLC0415

    if file is not None:
        return tuple(dict.fromkeys(read_texts([file], None, "text")))
    rows = load_samples(default_set(manifest.task), "evaluation")
    if manifest.task == "reranking" and rows.pairs:
        return tuple(dict.fromkeys(zip(rows.texts, rows.pairs, strict=True)))
    every = tuple(dict.fromkeys(rows.texts))
    stride = max(1, len(every) // 256)  # sets are sorted by genre: a bit of each
    return tuple(text for start in range(stride) for text in every[start::stride])


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
