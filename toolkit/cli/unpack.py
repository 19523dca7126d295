"""``edgequant unpack``: a bundle's archive into a folder."""

from argparse import ArgumentParser, Namespace

from toolkit.runtime import unpack_command
from toolkit.trust.unpack import unpack_bundle


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    unpack_command.configure(parser, ".tar, .tar.gz or .tar.zst")


def run(args: Namespace) -> int:
    """Unpack."""
    return unpack_command.unpack_with(unpack_bundle, args)
