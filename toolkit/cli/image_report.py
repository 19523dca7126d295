"""What an image is made of, as tables for people or JSON for machines."""

from typing import Any

from toolkit.cli import terminal
from toolkit.image.explain import Part, explain
from toolkit.image.reading import FoundImage, OpenLayout


def show(layout: OpenLayout, *, explained: bool, as_json: bool) -> None:
    """Print one layout, with its megabytes by part where asked for."""
    parts = {image.platform: explain(layout, image) for image in layout.images}
    if as_json:
        terminal.print_json(_report(layout, parts, explained=explained))
        return
    made = terminal.table("platform", ">layers", ">MB compressed", ">MB unpacked", "digest", title=layout.name)
    for image in layout.images:
        unpacked = sum(part.unpacked for part in parts[image.platform])
        made.add_row(image.platform, str(len(image.layers)), _mb(_compressed(image)), _mb(unpacked), image.digest)
    terminal.print_table(made)
    for image in layout.images if explained else ():
        terminal.out().print()
        table = terminal.table(f"{image.platform}", ">files", ">MB compressed", ">MB unpacked")
        for part in parts[image.platform]:
            table.add_row(part.name, str(part.files), _mb(part.compressed), _mb(part.unpacked))
        terminal.print_table(table)
    terminal.out().print(f"\nimage     {layout.digest}", soft_wrap=True)


def _report(layout: OpenLayout, parts: dict[str, tuple[Part, ...]], *, explained: bool) -> dict[str, Any]:
    images = []
    for image in layout.images:
        found = parts[image.platform]
        report: dict[str, Any] = {
            "platform": image.platform,
            "digest": image.digest,
            "compressed_bytes": _compressed(image),
            "unpacked_bytes": sum(part.unpacked for part in found),
            "layers": [
                {"digest": layer.digest, "bytes": layer.size, "diff_id": layer.diff_id} for layer in image.layers
            ],
            "config": dict(image.config["config"]),
        }
        if explained:
            report["parts"] = [
                {"name": p.name, "files": p.files, "unpacked_bytes": p.unpacked, "compressed_bytes": p.compressed}
                for p in found
            ]
        images.append(report)
    return {"name": layout.name, "digest": layout.digest, "images": images}


def _compressed(image: FoundImage) -> int:
    return sum(layer.size for layer in image.layers)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"
