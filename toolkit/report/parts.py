"""What the bytes of an ONNX file are: embedding tables, weights of linear layers in int8 or float, and the rest.

By what uses an initializer, not by its name, so that it holds for models that edgequant did not make.
"""

from collections.abc import Iterator
from math import prod

import onnx

from toolkit.report.page import Part

EMBEDDING, INT8, FLOAT, REST = "embedding tables", "linear layers, int8", "linear layers, float", "the rest"
_ORDER = (EMBEDDING, INT8, FLOAT, REST)
_PASS_ON = ("DequantizeLinear", "QuantizeLinear", "Transpose", "Cast", "Identity", "Reshape")
_LINEAR = (
    "MatMul", "Gemm", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "DynamicQuantizeMatMul", "QLinearMatMul",
    "QGemm",
)  # fmt: skip
_EIGHT_BITS = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)

Uses = dict[str, list[onnx.NodeProto]]


def parts(fp32: bytes | None, int8: bytes) -> tuple[Part, ...]:
    """Return the parts that either model has; ``fp32`` is None where the float model is not at hand."""
    before, after = None if fp32 is None else _sizes(fp32), _sizes(int8)
    return tuple(
        Part(name, None if before is None else before[name], after[name])
        for name in _ORDER
        if after[name] or (before is not None and before[name])
    )


def _sizes(data: bytes) -> dict[str, int]:
    graph = onnx.load_model_from_string(data).graph
    uses: Uses = {}
    for node in graph.node:
        for name in node.input:
            uses.setdefault(name, []).append(node)
    sizes = dict.fromkeys(_ORDER, 0)
    for name, tensor in _constants(graph):
        part = _part(name, tensor, uses)
        sizes[part] += _bytes(tensor) if part != REST else 0
    sizes[REST] = len(data) - sum(sizes.values())
    return sizes


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in graph.initializer if not tensor.external_data)
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], item.t) for item in node.attribute if item.name == "value")


def _part(name: str, tensor: onnx.TensorProto, uses: Uses) -> str:
    if len(tensor.dims) < 2:
        return REST
    for node in uses.get(name, ()):
        if node.op_type in _PASS_ON:
            return _part(node.output[0], tensor, uses)
        if node.op_type in ("Gather", "GatherBlockQuantized", "Slice") and node.input[0] == name:
            return EMBEDDING
        if node.op_type in _LINEAR:
            return INT8 if tensor.data_type in _EIGHT_BITS else FLOAT
    return REST


def _bytes(tensor: onnx.TensorProto) -> int:
    return len(tensor.raw_data) or prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
