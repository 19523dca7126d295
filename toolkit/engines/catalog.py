"""Which engines there are, and what each one needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Runner = Literal["onnxruntime", "openvino"]


@dataclass(frozen=True)
class Engine:
    """``module`` is one of ``toolkit.engines``; ``needs`` are modules that must be importable."""

    name: str
    what: str
    module: str
    needs: tuple[str, ...]
    install: str  # what gets them, in words for a person
    runner: Runner = "onnxruntime"

    @property
    def suffix(self) -> str:
        """How the name of its model's file ends."""
        return ".xml" if self.runner == "openvino" else ".onnx"


_QUANTIZE = "pip install 'edgequant[quantize]'"
_COMPRESSOR = (
    "pip install neural-compressor==3.7.1 onnx==1.18.0 onnxruntime==1.32.0 'setuptools<81' six transformers, in an "
    "environment of its own (make engines), named by --engine-python neural-compressor=PYTHON"
)
_NEEDS = ("neural_compressor.adaptor", "onnx.mapping", "onnxruntime")
_LIST = (
    Engine(
        "onnxruntime",
        "ONNX Runtime, static, as the target wants it",
        "onnxruntime_static",
        ("onnxruntime", "onnx"),
        _QUANTIZE,
    ),
    Engine(
        "onnxruntime-defaults",
        "ONNX Runtime, static QDQ, its defaults",
        "onnxruntime_defaults",
        ("onnxruntime", "onnx"),
        _QUANTIZE,
    ),
    Engine(
        "onnxruntime-dynamic",
        "ONNX Runtime, dynamic, per channel",
        "onnxruntime_dynamic",
        ("onnxruntime", "onnx"),
        _QUANTIZE,
    ),
    Engine(
        "optimum",
        "optimum's dynamic preset of the target",
        "optimum_preset",
        ("optimum.onnxruntime",),
        "pip install torch, then 'edgequant[export]', or name a Python that has them: --engine-python optimum=PYTHON",
    ),
    Engine(
        "neural-compressor",
        "neural-compressor, static QDQ, its defaults",
        "neural_compressor_static",
        _NEEDS,
        _COMPRESSOR,
    ),
    Engine(
        "neural-compressor-dynamic",
        "neural-compressor, dynamic",
        "neural_compressor_dynamic",
        _NEEDS,
        _COMPRESSOR,
    ),
    Engine(
        "nncf-openvino",
        "NNCF with SmoothQuant, run by OpenVINO",
        "nncf_openvino",
        ("nncf", "openvino"),
        "pip install nncf openvino, in any environment, named by --engine-python nncf-openvino=PYTHON",
        "openvino",
    ),
)
ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in _LIST}
"""All engines but edgequant's own, by name."""


def python_of(name: str, pythons: Mapping[str, Path]) -> Path | None:
    """Return the Python that is named for an engine, or for the family that its name starts with; None: this one."""
    return next((path for family, path in pythons.items() if f"{name}-".startswith(f"{family}-")), None)
