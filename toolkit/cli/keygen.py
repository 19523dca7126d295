"""``edgequant keygen``: a pair of keys."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.cli import terminal
from toolkit.trust.signing import generate


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    what = "the private key's new file; the public key goes to KEY.pub"
    parser.add_argument("-o", "--out", metavar="KEY", type=Path, required=True, help=what)


def run(args: Namespace) -> int:
    """Write both."""
    public = generate(args.out)
    said = (
        f"{args.out}  the private key: it signs; keep it to yourself\n{public}  the public key: it goes to the devices"
    )
    terminal.err().print(said, soft_wrap=True, markup=False)
    return 0
