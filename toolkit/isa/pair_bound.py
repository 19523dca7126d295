"""The pair bound as a theorem about a model file: no input whatever can saturate a pair in any of its products."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from toolkit.errors import BundleError
from toolkit.numerics.weights import PAIR_LIMIT, pair_bound_holds
from toolkit.runtime.verification import Check

PRODUCTS = ("MatMulInteger", "MatMulIntegerToFloat")
# What ONNX Runtime computes in int8 too, or fuses to it, and whose weights are laid out otherwise.
_OTHERS = ("ConvInteger", "DequantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulNBits")
_OTHER_PREFIXES = ("QLinear", "QGemm", "QAttention", "QEmbed", "QOrdered", "QMoE")


@dataclass(frozen=True)
class Bounded:
    """How many products were looked at, and the sentences that say why one is not bounded."""

    products: int
    refuted: tuple[str, ...]


def pair_bound(model: Path) -> Bounded:
    """Look at every int8 product of an ONNX file: its s8 weights as they are stored, u8 weights being exact.

    ONNX Runtime packs the stored rows in their order and pads with zeros, so that its pairs are rows (0, 1), (2, 3), ….
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
    products = [node for node in graph.node if node.op_type in PRODUCTS]
    refuted = [reason for node in graph.node if (reason := _refuted(node, constants))]
    return Bounded(len(products), tuple(refuted))


def check_pair_bound(model: Path) -> Check:
    """Return the theorem as one check of a report."""
    found = pair_bound(model)
    if found.refuted:
        rest = f" (and {len(found.refuted) - 1} more)" if len(found.refuted) > 1 else ""
        return Check("pair bound", False, found.refuted[0] + rest)
    detail = f"{found.products} products: no pair of stored weights exceeds {PAIR_LIMIT}, so none can ever saturate"
    return Check("pair bound", True, detail)


def _refuted(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> str:
    """Return why this node may saturate, or nothing."""
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return f"{node.name}: what is inside of {node.op_type} is not looked at"
    if node.op_type in _OTHERS or node.op_type.startswith(_OTHER_PREFIXES):
        return f"{node.name}: nothing is proven about {node.op_type}"
    if node.op_type not in PRODUCTS:
        return ""
    weight = constants.get(node.input[1])
    if weight is None:
        return f"{node.name}: its weights are computed, nothing is proven about them"
    values = numpy_helper.to_array(weight)
    if values.dtype != np.int8:
        return "" if values.dtype == np.uint8 else f"{node.name}: its weights are {values.dtype}"
    return "; ".join(_broken(node.name, values))


def _broken(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> Iterator[str]:
    columns = values[:, None] if values.ndim == 1 else values
    for matrix in columns.reshape(-1, *columns.shape[-2:]):
        if not pair_bound_holds(matrix):
            yield f"{name}: a pair of its weights exceeds {PAIR_LIMIT}, and 255 times that exceeds 16 bits"
            return
