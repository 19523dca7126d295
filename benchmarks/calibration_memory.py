"""Peak memory of calibration by the number of sentences: all-MiniLM-L6-v2, each count in a process of its own.

usage: calibration_memory.py [COUNT]...

Sentences are those of the shipped sets' calibration files, over and over. What is measured is what observation and
planning add to a process that has loaded the model; VmHWM is the process's own peak.
"""

import subprocess
import sys
from pathlib import Path

from toolkit.feeds import equal_length_feeds
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.quantize import calibration_tokens
from toolkit.samples import load_samples
from toolkit.sources import demo_model, open_source

COUNTS = ("64", "4096")


def main() -> int:
    """Print a line a count."""
    if sys.argv[1:2] == ["--one"]:
        print(peak_mb(int(sys.argv[2])))
        return 0
    print("| sentences | peak MB |\n|---|---|")
    for count in sys.argv[1:] or COUNTS:
        command = [sys.executable, __file__, "--one", count]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"| {int(count):,} | {float(found):.0f} |")
    return 0


def peak_mb(count: int) -> float:
    """Observe so many sentences and return this process's peak memory."""
    source = open_source(str(demo_model()))
    calibration = load_samples("stsb", "calibration")
    texts = calibration_tokens(source, calibration, load_samples("stsb", "evaluation", limit=1))[:600]
    lowered = lower(source.model)
    inputs = [str(value.name) for value in source.model.graph.inputs]
    observe(lowered, equal_length_feeds((texts * (count // len(texts) + 1))[:count], inputs))
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    sys.exit(main())
