"""Executed instructions of fp32 and int8 on CPU models that QEMU emulates, as a table with its conditions.

    python benchmarks/instructions.py [ARM_BUNDLE [X86_BUNDLE]]

The bundles must be of the demo model; without them, they are made here for arm64-dotprod and x86-avx2.
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolkit.isa.instructions import INT8

ARM, X86 = "cortex-a72,cortex-a76,max-i8mm", "Haswell"
TARGETS = (("arm64-dotprod", ARM), ("x86-avx2", X86))


def main() -> None:
    """Count, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        reports = []
        for number, (target, cpus) in enumerate(TARGETS):
            bundle = Path(sys.argv[1 + number]) if len(sys.argv) > 1 + number else _made(target, Path(folder))
            reports.append(json.loads(_edgequant("cost", str(bundle), "--isa", cpus, "--json")))
    print(f"- date: {datetime.now(tz=UTC):%Y-%m-%d}")
    print(
        f"- versions: edgequant {version('edgequant')}, onnxruntime {version('onnxruntime')} (Debian 12 arm64, amd64)"
    )
    print(f"- counted by: {', '.join(dict.fromkeys(report['qemu'] for report in reports))}, twice, in two processes")
    print(f"- bundles: {', '.join(report['title'] for report in reports)}\n")
    print("| CPU model | tokens | fp32, million | int8, million | fp32 : int8 | int8 arithmetic, million | spread |")
    print("|---|---|---|---|---|---|---|")
    for report in reports:
        _rows(report["counts"])


def _rows(counts: list[dict[str, Any]]) -> None:
    found = {(each["cpu"], each["tokens"], each["model"]): each for each in counts}
    for cpu, tokens in dict.fromkeys((each["cpu"], each["tokens"]) for each in counts):
        fp32, int8 = found[cpu, tokens, "fp32"], found[cpu, tokens, "int8"]
        kinds = {kind: number for kind, number in int8["kinds"].items() if kind in INT8}
        told = ", ".join(f"{kind} {number / 1e6:.1f}" for kind, number in kinds.items())
        totals = fp32["instructions"] / 1e6, int8["instructions"] / 1e6
        spread = max(fp32["spread"], int8["spread"])
        ratio = totals[0] / totals[1]
        print(f"| {cpu} | {tokens} | {totals[0]:.1f} | {totals[1]:.1f} | {ratio:.2f} | {told} | {spread:.0e} |")


def _made(target: str, folder: Path) -> Path:
    out = folder / target
    _edgequant("quantize", "--target", target, "--out", str(out), "--no-speed")
    return out


def _edgequant(*words: str) -> str:
    command = [sys.executable, "-m", "toolkit.cli", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
