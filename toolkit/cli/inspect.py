"""``edgequant inspect``: what was decided for every tensor of a bundle, its SQNR, and why one stayed float."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from toolkit import decisions
from toolkit.cli import terminal, tune
from toolkit.fallback import sentences
from toolkit.lower.left_out import TWO_ACTIVATIONS
from toolkit.runtime.bundle import open_any


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="print the decisions as JSON")


def run(args: Namespace) -> int:
    """Show the decisions."""
    bundle = open_any(args.bundle)
    found = decisions.read(bundle.folder)
    if args.json:
        terminal.print_json(found)
        return 0
    manifest = bundle.manifest
    if found.get("engine", "native") != "native":  # bundles of before have none
        told = (
            f"{manifest.name} for {manifest.target.name} was quantized by {found['engine']}: model.onnx has what it did"
        )
        terminal.out().print(told, soft_wrap=True, markup=False)
        return 0
    made = terminal.table(
        "linear layer", ">shape", "precision", ">SQNR dB", "channels", "weights", ">peak",
        title=f"{manifest.name} for {manifest.target.name}",
    )  # fmt: skip
    for layer in found["linear"]:
        made.add_row(layer["name"], _shape(layer), layer["precision"], *_numbers(layer))
    terminal.print_table(made)
    terminal.out().print()
    tables = terminal.table("embedding table", ">shape", "precision", ">SQNR dB")
    for item in found["embedding"]:
        tables.add_row(item["name"], _shape(item), item["precision"], _db(item))
    terminal.print_table(tables)
    terminal.out().print("\n".join(["", *_sentences(found), *tune.facts(found)]), soft_wrap=True, markup=False)
    return 0


def _shape(item: dict[str, Any]) -> str:
    return "x".join(map(str, item["shape"]))


def _db(item: dict[str, Any]) -> str:
    return f"{item['sqnr_db']:.1f}" if "sqnr_db" in item else ""


def _numbers(layer: dict[str, Any]) -> tuple[str, str, str, str]:
    if layer["precision"] == "float":
        return "", "", "", ""
    if "block_size" in layer:
        return _db(layer), "", f"blocks of {layer['block_size']}, {layer['rounding']} rounding", ""
    bound = " (no pair saturates)" if layer["pair_bound"] else ""
    apart = f"{layer['outliers']} apart" if layer.get("outliers") else ""  # bundles of before have none
    return (
        _db(layer),
        apart if layer["alpha"] is None else f"alpha {layer['alpha']:g}",
        layer["weight_range"] + bound,
        f"±{layer['weight_peak']}",
    )


def _sentences(found: dict[str, Any]) -> list[str]:
    """Return each reason once, with how many tensors it holds for, and every float one by name."""
    counted: dict[str, list[str]] = {}
    for item in (*found["linear"], *found["embedding"]):
        counted.setdefault(f"{item['precision']}: {item['why'][-1]}", []).append(item["name"])
    lines = []
    for reason, names in counted.items():
        lines.append(f"{len(names)} x {reason}")
        if reason.startswith("float"):
            lines += [f"    {name}" for name in names]
    reasons: dict[str, list[str]] = {}
    for item in found["float"]:
        name, _, reason = item.rpartition(": ")
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        lines.append(f"{len(names)} x float: {reason}")
        lines += [f"    {name}" for name in names if reason != TWO_ACTIVATIONS]
    return [*lines, *(["", *sentences(found["fallback"])] if "fallback" in found else [])]
