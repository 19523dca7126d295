"""Where `edgequant quantize` writes, and what it prints about it, whatever kind of model it made."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit import archive
from toolkit.cli import terminal
from toolkit.cli.verdict_tables import gate_table
from toolkit.gate import GateReport
from toolkit.isa.native import why_not_native
from toolkit.runtime import cpu
from toolkit.targets import Recipe


def packed(folder: Path, compression: archive.Compression | None) -> Path | None:
    """Write the archive that was asked for."""
    if compression is None:
        return None
    out = archive.archive_path(folder, compression)
    archive.write_archive(folder, out, compression)
    return out


def show(
    args: Namespace,
    title: str,
    report: GateReport,
    facts: Sequence[str],
    more: Mapping[str, object],
    written: tuple[Path | None, Path | None],
) -> None:
    """Print the report, as JSON with ``more`` in it or for people; ``written`` are the bundle and its archive."""
    named = dict(zip(("out", "archive"), written, strict=True))
    if args.json:
        paths = {name: None if path is None else str(path) for name, path in named.items()}
        terminal.print_json({**paths, "gate": report.as_dict(), **more})
        return
    terminal.print_table(gate_table(report, title))
    lines = ["", *facts]
    lines += [f"{name:9} {path}" for name, path in (("bundle", written[0]), ("archive", written[1])) if path]
    terminal.out().print("\n".join(lines), soft_wrap=True, markup=False)


def show_next(recipe: Recipe, folder: Path, example: str) -> None:
    """Print what to type next; ``example`` runs the bundle."""
    here = not why_not_native(recipe.verify.isa, cpu.architecture(), cpu.features())
    verify = f"edgequant verify {folder}" + ("" if here else " --isa target")
    lines = ["", "next:", *(f"  {line}" for line in (example, f"edgequant inspect {folder}", verify))]
    terminal.out().print("\n".join(lines), soft_wrap=True, markup=False)
