"""The pair bound as a theorem about a model file: no input whatever can saturate a pair in any of its products."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from toolkit.errors import BundleError
from toolkit.numerics.weights import PAIR_LIMIT, packed_columns, pair_bound_holds
from toolkit.runtime.verification import Check

PRODUCTS = ("MatMulInteger", "MatMulIntegerToFloat")
DEQUANTIZED = ("Conv", "MatMul", "Gemm")
"""Products of DequantizeLinear's outputs: ONNX Runtime makes one int8 kernel of each with what is around it."""
# What ONNX Runtime computes in int8 too, or fuses to it, and whose weights are laid out otherwise.
_OTHERS = ("ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulNBits")
_OTHER_PREFIXES = ("QLinear", "QGemm", "QAttention", "QEmbed", "QOrdered", "QMoE")


@dataclass(frozen=True)
class Bounded:
    """How many products were looked at, and the sentences that say why one is not bounded."""

    products: int
    refuted: tuple[str, ...]


def pair_bound(model: Path) -> Bounded:
    """Look at every int8 product of an ONNX file: its s8 weights as they are stored, u8 weights being exact.

    ONNX Runtime packs the stored rows in their order and pads with zeros, so that its pairs are rows (0, 1), (2, 3), ….
    Graphs inside nodes (If, Loop) must be float.
    BundleError if the file is no ONNX model.
    """
    try:
        loaded = onnx.load(model, load_external_data=False)
    except Exception as error:  # noqa: BLE001 - protobuf's errors have no common class
        raise BundleError("the model cannot be read", where=model, got=error) from None
    graph = loaded.graph
    if loaded.functions:
        return Bounded(0, ("the model has functions of its own, which are not looked at",))
    constants = {tensor.name: tensor for tensor in graph.initializer}
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    products = [node for node in graph.node if node.op_type in PRODUCTS or _is_dequantized(node, sources)]
    refuted = [reason for node in graph.node if (reason := _refuted(node, constants, sources))]
    return Bounded(len(products), tuple(refuted))


def check_pair_bound(model: Path) -> Check:
    """Return the theorem as one check of a report."""
    found = pair_bound(model)
    if found.refuted:
        rest = f" (and {len(found.refuted) - 1} more)" if len(found.refuted) > 1 else ""
        return Check("pair bound", False, found.refuted[0] + rest)
    detail = f"{found.products} products: no pair of stored weights exceeds {PAIR_LIMIT}, so none can ever saturate"
    return Check("pair bound", True, detail)


def _is_dequantized(node: onnx.NodeProto, sources: dict[str, str]) -> bool:
    return node.op_type in DEQUANTIZED and len(node.input) > 1 and node.input[1] in sources


def _refuted(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], sources: dict[str, str]) -> str:
    """Return why this node may saturate, or nothing; ``sources`` are the integers behind dequantized tensors."""
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.node]
    if any(_computes_in_int8(graph) for graph in inner):
        return f"{node.name}: what is inside of {node.op_type} is not looked at"
    if node.op_type in _OTHERS or node.op_type.startswith(_OTHER_PREFIXES):
        return f"{node.name}: nothing is proven about {node.op_type}"
    dequantized = _is_dequantized(node, sources)
    if node.op_type not in PRODUCTS and not dequantized:
        return ""
    weight = constants.get(sources[node.input[1]] if dequantized else node.input[1])
    if weight is None:
        return f"{node.name}: its weights are computed, nothing is proven about them"
    values = numpy_helper.to_array(weight)
    if values.dtype != np.int8:
        return "" if values.dtype == np.uint8 else f"{node.name}: its weights are {values.dtype}"
    if dequantized:
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        values = packed_columns(values, node.op_type, transposed=transposed)
    return "; ".join(_broken(node.name, values))


def _computes_in_int8(graph: onnx.GraphProto) -> bool:
    """Tell whether any node of a graph, or of those inside its nodes, holds integers that stand for real numbers."""
    return any(
        node.op_type in (*PRODUCTS, *_OTHERS, "QuantizeLinear", "DequantizeLinear")
        or node.op_type.startswith(_OTHER_PREFIXES)
        or any(_computes_in_int8(inner) for attribute in node.attribute for inner in (attribute.g, *attribute.graphs))
        for node in graph.node
    )


def _broken(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> Iterator[str]:
    columns = values[:, None] if values.ndim == 1 else values
    for matrix in columns.reshape(-1, *columns.shape[-2:]):
        if not pair_bound_holds(matrix):
            yield f"{name}: a pair of its weights exceeds {PAIR_LIMIT}, and 255 times that exceeds 16 bits"
            return
