"""The command ``run``: arrays in, arrays out, for a bundle whose model reads no texts."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.runtime.errors import UsageError
from toolkit.runtime.host import host
from toolkit.runtime.options import Subparsers, named_engine, positive, sentence

_WHAT = "run arrays through a bundle whose model reads no texts"


def register_run(subparsers: Subparsers) -> None:
    """Add ``run``."""
    description = f"{sentence(_WHAT)} Without FILE it tells what the model takes and gives."
    parser: ArgumentParser = subparsers.add_parser("run", help=_WHAT, description=description)
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "file", metavar="FILE", nargs="?", type=Path, help="an .npz with an array for each input, or an .npy for one"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="write the outputs to this .npz (default: stdout)")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to run with (default: all of this process)"
    )
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run one feed; stdout is data."""
    from toolkit.runtime.bundle import TensorBundle, load_tensors, open_any  # noqa: PLC0415 - imports onnxruntime

    opened = open_any(args.bundle)
    if not isinstance(opened, TensorBundle):
        hint = "edgequant inspect BUNDLE tells what it is for"
        raise UsageError("the bundle's model reads texts, not arrays", where=args.bundle, hint=hint)
    info = opened.manifest.model
    if args.file is None:
        print("\n".join([*(f"input   {one}" for one in info.inputs), *(f"output  {one}" for one in info.outputs)]))
        return 0
    if args.output is None and sys.stdout.isatty():
        raise UsageError("npz is binary and not for the terminal", hint="write it to a file: -o outputs.npz")
    from toolkit.runtime import writing  # noqa: PLC0415
    from toolkit.runtime.tensor_files import npz, read_arrays  # noqa: PLC0415

    feed = read_arrays(args.file, info.inputs)
    found = load_tensors(opened, host(args.threads, *named_engine())).run(feed)
    with writing.output(args.output) as handle:
        handle.write(npz(found))
    return 0
