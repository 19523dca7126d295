"""Options that the commands which emulate a CPU have in common."""

from argparse import ArgumentParser
from pathlib import Path


def add_qemu(parser: ArgumentParser) -> None:
    """Add the option that names another QEMU."""
    parser.add_argument(
        "--qemu", type=Path, metavar="FOLDER", help="take qemu-aarch64 and qemu-x86_64 from here, not from PATH"
    )
