"""What stands where a bundle shall be written: refused before the work, not after it."""

import os
from argparse import Namespace
from pathlib import Path

from toolkit import archive, atomic
from toolkit.errors import UsageError


def refuse_existing(args: Namespace, out: Path) -> None:
    """Raise UsageError where the bundle or its archive exists and may not be replaced."""
    atomic.refuse_existing(out, replace=args.force)
    packed = archive.archive_path(out, args.archive) if args.archive else None
    if packed is not None and os.path.lexists(packed) and (packed.is_dir() or not args.force):
        hint = "choose another name" + ("" if packed.is_dir() else ", or say --force to replace it")
        raise UsageError("the archive exists", where=packed, hint=hint)
