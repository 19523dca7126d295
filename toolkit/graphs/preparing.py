"""A graph brought into the form that the quantizer takes, by onnxruntime itself: nothing about its answers changes."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnxruntime as ort

from toolkit.errors import ModelError
from toolkit.graphs.opening import interface, read_graph
from toolkit.runtime.engine_python import session_options
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.tensor_manifest import TensorInfo
from toolkit.sources.files import Files

OLDEST_OPSET = 13
"""DequantizeLinear has one scale a channel from here on."""


@dataclass(frozen=True)
class FloatGraph:
    """A float ONNX model as it is quantized: ``model`` has all weights in it, ``digest`` is that of the files read."""

    name: str
    model: bytes
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    bytes_read: int
    digest: str

    def proto(self) -> onnx.ModelProto:
        """Return a copy that may be changed."""
        return onnx.load_model_from_string(self.model)

    def giving(self, model: bytes, outputs: tuple[TensorInfo, ...]) -> "FloatGraph":
        """Return the same with other outputs."""
        return replace(self, model=model, outputs=outputs)


def open_graph(path: Path, name: str | None = None) -> FloatGraph:
    """Read, check and prepare the file; ModelError says what about it cannot be used."""
    files = Files(path.parent)
    model = read_graph(path, files)
    ready = _simplified(_new_enough(model, path), path)
    for index, node in enumerate(ready.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    inputs, outputs = interface(ready, path)
    return FloatGraph(name or path.stem, ready.SerializeToString(), inputs, outputs, files.size(), files.digest())


def _new_enough(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    version = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), OLDEST_OPSET)
    if version >= OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:
        what, hint = (
            "the ONNX model's opset is too old and cannot be converted",
            "export the model again, with opset 17",
        )
        raise ModelError(what, where=path, got=f"{version}: {error}", expected=f"{OLDEST_OPSET} or newer",
                         hint=hint) from error  # fmt: skip


def _simplified(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Fold constants and batch normalizations as onnxruntime does, and take its types and shapes."""
    settings = SessionInfo(graph_optimization="basic")
    with tempfile.TemporaryDirectory(prefix="edgequant-graph-") as folder:
        out = Path(folder) / "model.onnx"
        options = session_options(settings, 1)
        options.optimized_model_filepath = str(out)
        try:
            # A Gemm's bias of two axes, which MatMulAddFusion makes, is more than the quantizer reads.
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"],
                                 disabled_optimizers=["MatMulAddFusion"])  # fmt: skip
        except Exception as error:
            what, got = "onnxruntime cannot load the model", " ".join(str(error).split())[:500]
            raise ModelError(what, where=path, got=got, hint="operators of your own cannot be used") from error
        return onnx.shape_inference.infer_shapes(onnx.load(out))
