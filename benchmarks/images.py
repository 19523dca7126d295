"""What an image costs and how fast it starts: megabytes by part, and process start to first embedding in its root.

    python benchmarks/images.py BUNDLE... [--runs 10]

Prints sizes for each platform, normal and slim, then the time from starting a process of this machine's unpacked root
filesystem to its first embedding, as a median. As root it runs in a chroot, otherwise through its own loader.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from toolkit.image.config import ENVIRONMENT
from toolkit.image.platforms import PLATFORMS, Platform
from toolkit.runtime import cpu

PROGRAM = "import sys; from toolkit.runtime import load; load(sys.argv[1]).embed(['a first sentence'])"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=10, help="starts, of which the median is printed (default: 10)")
    args = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {load}, Python {platform.python_version()} builds")
    here = next((one for one in PLATFORMS.values() if one.target == cpu.architecture()), None)
    with tempfile.TemporaryDirectory(prefix="edgequant-bench-") as name:
        for kind in ("normal", "slim"):
            folder = Path(name) / kind
            report = _build(args.bundles, folder / "image", kind)
            for image in report["images"]:
                _print_sizes(kind, image)
            if here and here.name in [image["platform"] for image in report["images"]]:
                _print_starts(folder, here, args.runs)
    return 0


def _edgequant(*arguments: object) -> str:
    command = [sys.executable, "-m", "toolkit.cli", "image", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _build(bundles: list[Path], out: Path, kind: str) -> dict[str, Any]:
    slim = ["--slim"] if kind == "slim" else []
    report: dict[str, Any] = json.loads(_edgequant("build", *bundles, "-o", out, "--explain", "--json", *slim))
    return report


def _print_sizes(kind: str, image: dict[str, Any]) -> None:
    total = f"{image['compressed_bytes'] / 1e6:.1f} MB compressed, {image['unpacked_bytes'] / 1e6:.1f} MB unpacked"
    print(f"\n{kind} {image['platform']}: {total}")
    for part in image["parts"]:
        sizes = f"{part['compressed_bytes'] / 1e6:8.1f} {part['unpacked_bytes'] / 1e6:8.1f}"
        print(f"  {part['name']:44}{sizes}")


def _print_starts(folder: Path, here: Platform, runs: int) -> None:
    root = folder / "root"
    _edgequant("unpack", folder / "image", "-o", root, "--platform", here.name)
    bundle = next((root / "bundles").iterdir())
    command, env = _command(root, here, bundle)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, env=env)
        seconds.append(time.perf_counter() - start)
    measured = seconds[1:]  # the first fills the page cache
    print(
        f"  start to first embedding: median {statistics.median(measured):.2f} s of {runs}, best {min(measured):.2f} s"
    )


def _command(root: Path, here: Platform, bundle: Path) -> tuple[list[str], dict[str, str]]:
    if os.geteuid() == 0:
        inside = f"/bundles/{bundle.name}"
        run = f'mount --bind /proc {root}/proc && exec chroot --userspec=65532:65532 {root} /usr/bin/python3 "$@"'
        return ["unshare", "--mount", "sh", "-c", run, "sh", "-c", PROGRAM, inside], {**os.environ, **_inside("")}
    libraries = root / "usr/lib" / here.triplet
    loader = next(libraries.glob("ld-linux*"))
    command = [str(loader), "--library-path", str(libraries), str(root / "usr/bin/python3"), "-c", PROGRAM, str(bundle)]
    return command, {**os.environ, **_inside(str(root))}


def _inside(root: str) -> dict[str, str]:
    return {**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": f"{root}/opt/edgequant"}


if __name__ == "__main__":
    sys.exit(main())
