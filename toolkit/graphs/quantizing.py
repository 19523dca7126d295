"""The int8 form of a graph: layers chosen by the recipe's rules, written by ONNX Runtime's static quantizer.

Activations are u8 and weights s8, one scale a channel, on every target: it is what MLAS has kernels for on x86, where
U8U8 is not upgraded to VNNI, and on Arm (U8X8 and symmetric convolutions), and one artefact then gives the same integer
sums everywhere. Where the kernel saturates, the pair bound holds for convolutions as for matrices, in the order in
which their weights are packed: numerics.weights.packed_columns.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantType

from toolkit.errors import ModelError, NumericsError
from toolkit.graphs.calibrating import Range
from toolkit.graphs.opening import graphs_in, nodes_of
from toolkit.graphs.preparing import FloatGraph
from toolkit.numerics.weights import Float, packed_columns, quantize_columns
from toolkit.targets import Quantization, Treatment

WEIGHTED = ("Conv", "MatMul", "Gemm")
_RECURRENT = "Its int8 kernel quantizes as it runs: a result would depend on what else is in its batch."
FLOAT = {"ConvTranspose": "There is no int8 kernel for it.", "GRU": _RECURRENT, "LSTM": _RECURRENT, "RNN": _RECURRENT}
"""Layers that stay float whatever a recipe says, and why."""
MOVING = ("Clip", "Concat", "Flatten", "MaxPool", "Pad", "Relu", "Reshape", "Resize", "Slice", "Split", "Squeeze",
          "Transpose", "Unsqueeze")  # fmt: skip
"""What takes numbers from one place to another, or cuts them off: int8 in, the same int8 out."""
COMPUTING = ("Add", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid")
"""What has an int8 kernel of its own, and rounds once more."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One node with constant float weights: ``columns`` [K, N] has a column a channel, ``axis`` is where those lie.

    ``tensors`` are what it reads and what it gives.
    """

    name: str
    kind: str
    tensors: tuple[str, str]
    weight: str
    columns: Float
    axis: int
    treatment: Treatment

    @property
    def int8(self) -> bool:
        """Whether the rules want it in int8."""
        return self.treatment.precision == "int8"


def layers_of(graph: FloatGraph, rules: Quantization) -> tuple[Layer, ...]:
    """Return the layers of a graph in its order; ModelError where there is none that the rules put into int8."""
    model = graph.proto()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = tuple(layer for node in model.graph.node if (layer := _layer(node, constants, rules)))
    if not any(layer.int8 for layer in found):
        raise ModelError("there is nothing in the model to quantize", where=graph.name, got=_inventory(model, found),
                         expected="Conv, MatMul or Gemm with constant float32 weights, large enough for "
                         "the recipe's rules and not inside If, Loop or Scan")  # fmt: skip
    return found


def seen(layers: Sequence[Layer], ranges: Mapping[str, Range], where: str) -> tuple[Layer, ...]:
    """Return the layers, float where what they read or give has no range; NumericsError where no int8 layer is left."""
    unseen = Treatment(why=("There are no finite float numbers of what it reads or gives on calibration data.",))
    found = tuple(
        layer if not layer.int8 or ranges.keys() >= set(layer.tensors) else replace(layer, treatment=unseen)
        for layer in layers
    )
    if not any(layer.int8 for layer in found):
        hint = "the float model itself overflows on these inputs, or they are empty: give others"
        raise NumericsError("no layer saw finite numbers on calibration data", where=where, hint=hint)
    return found


def tensors_of(graph: FloatGraph, layers: Sequence[Layer]) -> list[str]:
    """Return the float tensors whose ranges the quantizer may ask for."""
    model = graph.proto()
    constants = {tensor.name for tensor in model.graph.initializer}
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT} - constants
    named = {layer.name for layer in layers}
    nodes = [node for node in model.graph.node if node.name in named or node.op_type in (*MOVING, *COMPUTING)]
    return sorted({name for node in nodes for name in (*node.input, *node.output) if name in floats})


def quantize(
    graph: FloatGraph, layers: Sequence[Layer], ranges: Mapping[str, Range], operators: Collection[str]
) -> bytes:
    """Return the model with these layers in int8, and ``operators`` around them; ModelError where ORT cannot do it."""
    model = graph.proto()
    named = [layer.name for layer in layers]
    named += [node.name for node in _around(model.graph, ranges) if node.op_type in operators]
    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    options = {
        "TensorQuantOverrides": {layer.weight: _scales(layer) for layer in layers},
        "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],  # a rounding less, and as fast
        "MatMulConstBOnly": True,
        "ActivationSymmetric": False,
        "WeightSymmetric": True,
    }
    try:
        quantizer = QDQQuantizer(
            model, True, False, QuantType.QInt8, QuantType.QUInt8, TensorsData(CalibrationMethod.MinMax, data), named,
            [], [*WEIGHTED, *operators], options,
        )  # fmt: skip
        quantizer.quantize_model()
        return bytes(quantizer.model.model.SerializeToString())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, RuntimeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise ModelError("onnxruntime's quantizer cannot take the model", where=graph.name, got=got) from error


def _layer(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], rules: Quantization) -> Layer | None:
    if node.op_type not in (*WEIGHTED, *FLOAT) or node.domain not in ("", "ai.onnx") or len(node.input) < 2:
        return None
    tensor = constants.get(node.input[1])
    if tensor is None or tensor.data_type != TensorProto.FLOAT or 0 in tensor.dims:
        return None
    columns, axis = _columns(node, numpy_helper.to_array(tensor))
    refusal = FLOAT.get(node.op_type) or _unfit(node, tensor, constants)
    kind: Literal["conv", "linear"] = "conv" if node.op_type == "Conv" else "linear"
    treatment = Treatment(why=(refusal,)) if refusal else rules.decide(kind, node.name, columns.size)
    tensors = (node.input[0], node.output[0])
    return Layer(node.name, node.op_type, tensors, tensor.name, columns, axis, treatment)


def _columns(node: onnx.NodeProto, weight: Float) -> tuple[Float, int]:
    """Return the weights with a column for each of what one scale is for, and the axis of those."""
    first = node.op_type == "Conv" or (node.op_type == "Gemm" and _attribute(node, "transB", 0) != 0)
    axis = 0 if first else weight.ndim - 1
    if weight.ndim < 2 or node.op_type in FLOAT:
        return weight.reshape(-1, 1), 0
    return np.ascontiguousarray(packed_columns(weight, node.op_type, transposed=first)), axis


def _unfit(node: onnx.NodeProto, weight: onnx.TensorProto, constants: Mapping[str, onnx.TensorProto]) -> str:
    """Return why a layer cannot be int8, whatever the rules say."""
    if not np.isfinite(numpy_helper.to_array(weight)).all():
        return "Its weights are not finite."
    if node.op_type == "MatMul" and len(weight.dims) != 2:
        return "Its weights are no matrix: there is no int8 kernel with a scale a column."
    if node.op_type != "Gemm":
        return ""
    if _attribute(node, "transA", 0) or _attribute(node, "alpha", 1.0) != 1.0:
        return "A Gemm with alpha or a transposed input has no int8 kernel that is exact."
    bias = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if len(node.input) > 2 and node.input[2] and (bias is None or len(bias.dims) != 1 or bias.dims[0] == 1):
        return "Its bias is no constant row."
    return ""


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    found = next((one for one in node.attribute if one.name == name), None)
    return default if found is None else float(onnx.helper.get_attribute_value(found))


def _scales(layer: Layer) -> list[dict[str, object]]:
    """Return the scale of each channel, as the layer's rule bounds its weights, in the quantizer's words."""
    found = quantize_columns(layer.columns, layer.treatment.weight_range).scale
    scales: list[dict[str, object]] = [{"scale": scale, "zero_point": 0} for scale in found]
    scales[0]["axis"] = layer.axis
    return scales


def _around(graph: onnx.GraphProto, ranges: Mapping[str, Range]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes whose numbers are known: not where they are whole ones, or there were none.

    Nor what a graph inside a node reads: the quantizer takes a Relu away whose output it does not see used there.
    """
    captured = {name for node in graph.node for inner in graphs_in(node) for name in _read_inside(inner)}
    for node in graph.node:
        known = node.input and node.output and node.input[0] in ranges and node.output[0] in ranges
        if known and captured.isdisjoint(node.output):
            yield node


def _read_inside(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield all names that a graph inside a node mentions, its own ones too."""
    yield from (value.name for value in graph.output)
    for node in graph.node:
        yield from node.input
        for inner in graphs_in(node):
            yield from _read_inside(inner)


def _inventory(model: onnx.ModelProto, layers: Sequence[Layer]) -> str:
    """Return what the model is made of, in a line."""
    if layers:
        return "; ".join(sorted({f"{layer.kind}: {layer.treatment.why[-1]}" for layer in layers}))
    inside = sorted({node.op_type for node in model.graph.node if any(a.HasField("g") for a in node.attribute)})
    names = sorted({f"{node.domain}.{node.op_type}".lstrip(".") for node in nodes_of(model.graph)})
    held = f" (inside {', '.join(inside)} too)" if inside else ""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") + held
