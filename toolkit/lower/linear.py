"""Linear layers as they stand in ONNX graphs: a MatMul or Gemm whose weight is a constant, and its bias."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from toolkit.errors import NumericsError
from toolkit.lower.constants import constant

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """``output = input @ weight + bias``: values and nodes are named, not referenced, so that a copy serves as well."""

    name: str
    input: str
    output: str
    weight: Float  # [K, N]
    bias: Float | None  # [N]
    nodes: tuple[str, ...]  # that compute it, in order

    @cached_property
    def weight_digest(self) -> str:
        """The sha256 of the weight's bytes: layers that share a weight have the same."""
        return hashlib.sha256(self.weight.tobytes()).hexdigest()


def require_finite(array: npt.NDArray[np.generic], name: str) -> None:
    """Raise NumericsError where a weight has NaN or infinity."""
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise NumericsError(
            "a weight is not finite",
            where=name,
            got=f"{bad} of {array.size} numbers are NaN or infinite",
            hint="the checkpoint is damaged or was trained in float16 and overflowed; use another one",
        )


def find_linears(graph: ir.Graph) -> tuple[Linear, ...]:
    """Return every linear layer of the main graph, in the order of the graph."""
    found = (_linear(node) for node in graph if node.domain == "" and node.op_type in ("MatMul", "Gemm"))
    return tuple(linear for linear in found if linear is not None)


def _linear(node: ir.Node) -> Linear | None:
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    if node.op_type == "Gemm":
        return _gemm(node, weight)
    add, bias = _bias_after(node, weight.shape[1])
    last = node if add is None else add
    return _checked(node, last, weight, bias)


def _gemm(node: ir.Node, weight: npt.NDArray[np.generic]) -> Linear | None:
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        return None
    if attributes.get("transB", 0):
        weight = weight.T
    bias = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = constant(node.inputs[2])
        if bias is None or bias.shape not in ((weight.shape[1],), (1, weight.shape[1])):
            return None
    return _checked(node, node, weight, bias)


def _bias_after(node: ir.Node, columns: int) -> tuple[ir.Node | None, npt.NDArray[np.generic] | None]:
    """Return the Add of a constant row that alone consumes the product, and that row."""
    product = node.outputs[0]
    uses = tuple(product.uses())
    if product.is_graph_output() or len(uses) != 1 or uses[0].node.op_type != "Add":
        return None, None
    add = uses[0].node
    other = add.inputs[1 - uses[0].idx]
    row = constant(other)
    if row is None or row.shape not in ((columns,), (1, columns)) or row.dtype != np.float32:
        return None, None
    return add, row


def _checked(
    first: ir.Node, last: ir.Node, weight: npt.NDArray[np.generic], bias: npt.NDArray[np.generic] | None
) -> Linear:
    name = str(first.name)
    require_finite(weight, f"weight of {name}")
    if bias is not None:
        require_finite(bias, f"bias of {name}")
    source = first.inputs[0]
    if source is None:
        raise AssertionError(f"{name} has no input")
    return Linear(
        name=name,
        input=str(source.name),
        output=str(last.outputs[0].name),
        weight=np.ascontiguousarray(weight, np.float32),
        bias=None if bias is None else np.ascontiguousarray(bias.reshape(-1), np.float32),
        nodes=tuple(dict.fromkeys((str(first.name), str(last.name)))),
    )
