"""An image under its name: a folder or a tar file, there whole or not at all."""

import os
import re
from pathlib import Path

from toolkit.atomic import refuse_existing, whole_file, whole_tree
from toolkit.errors import UsageError
from toolkit.image.building import Order, build_image
from toolkit.image.layout import write_archive
from toolkit.progress import Track, silent
from toolkit.runtime.unpacking import beside

MARK = "oci-layout"
ARCHIVE = ".tar"


def refuse_existing_image(out: Path, *, replace: bool) -> None:
    """Raise UsageError where ``out`` exists and may not be replaced, or is no image."""
    if out.suffix != ARCHIVE:
        refuse_existing(out, replace=replace, mark=MARK)
    elif os.path.lexists(out) and not replace:
        raise UsageError("the output exists", where=out, hint="choose another name, or say --force to replace it")


def write_image(order: Order, out: Path, track: Track = silent, *, replace: bool) -> None:
    """Build an image and write it to ``out``: an OCI layout's folder, or FILE.tar."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ARCHIVE:
        with whole_file(out) as partial, beside(out) as folder:
            folder.mkdir()
            build_image(order, folder, track)
            write_archive(folder, partial)
        return
    with whole_tree(out, replace=replace, mark=MARK) as partial:
        build_image(order, partial, track)


def image_name(text: str) -> str:
    """Return NAME:TAG, by the distribution specification's rules for names and tags; UsageError for another form."""
    name = text if ":" in text.rpartition("/")[2] else f"{text}:latest"
    part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    if not re.fullmatch(
        rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{part}(?:/{part})*:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}", name
    ):
        raise UsageError("this is no image name", got=repr(text), expected="such as models/minilm:1")
    return name


def default_name(called: str) -> str:
    """Return an image's name after what is in it."""
    slug = re.sub(r"[^a-z0-9]+", "-", called.lower()).strip("-")
    return f"{slug or 'edgequant'}:latest"
