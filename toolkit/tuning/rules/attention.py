"""Attention by one of the two operators that ONNX Runtime has a kernel for; both transpose the heads by themselves."""

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
from onnxscript import version_converter
from onnxscript.rewriter import RewriteRule, RewriteRuleSet

from toolkit.lower.constants import constant

MICROSOFT = "com.microsoft"
OPSET, CONVERTIBLE = 23, 18
"""The opset that ``Attention`` came with, and the oldest one whose graphs can be brought to it."""
_HEADS, _KEYS = (0, 2, 1, 3), (0, 2, 3, 1)
_OneNode = Callable[..., Any]


def to_multi_head_attention(model: ir.Model) -> None:
    """Rewrite ``softmax(Q·Kᵀ + bias)·V`` over heads to ``com.microsoft.MultiHeadAttention``."""

    def node(op: Any, heads: int, *inputs: ir.Value) -> Any:  # noqa: ANN401 - the library's
        *qkv, bias = inputs
        return op.MultiHeadAttention(*qkv, None, None, bias, num_heads=heads, scale=1.0, _domain=MICROSOFT, _version=1)

    _rewrite(model, node)


def to_onnx_attention(model: ir.Model) -> None:
    """Rewrite ``softmax(Q·Kᵀ + bias)·V`` over heads to ONNX's ``Attention``; graphs of old opsets are left alone."""

    def node(op: Any, heads: int, *inputs: ir.Value) -> Any:  # noqa: ANN401
        return op.Attention(*inputs, q_num_heads=heads, kv_num_heads=heads, scale=1.0)

    opset = model.opset_imports.get("", 0)
    if opset >= CONVERTIBLE and _rewrite(model, node) and opset < OPSET:
        version_converter.convert_version(model, OPSET)


def _rewrite(model: ir.Model, node: _OneNode) -> int:
    """Replace every attention by one node of q, k, v and the bias; return how many.

    The scale must be in the query's weights, as lowering leaves it. The kernels take no bias [b, 1, 1, s]: it is
    expanded to a row a query, once for all layers that have as many queries as keys.
    """
    expanded: dict[str, ir.Value] = {}

    def replacement(op: Any, **found: ir.Value) -> Any:  # noqa: ANN401
        q, k, bias = found["q"], found["k"], found["bias"]
        key = str(bias.name) if _same_tokens(q, k) else f"{bias.name} {q.name}"
        if key not in expanded:
            expanded[key] = _expand(op, bias, q)
        return node(op, _heads(found["q_heads"]), q, k, found["v"], expanded[key])

    return int(RewriteRuleSet([RewriteRule(_attention, replacement, _same_heads)], commute=True).apply_to_model(model))


def _attention(op, q, k, v, bias, q_heads, k_heads, v_heads, merge):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913, PLR0917 - the library reads the names
    queries = op.Transpose(op.Reshape(q, q_heads), perm=_HEADS)
    keys = op.Transpose(op.Reshape(k, k_heads), perm=_KEYS)
    values = op.Transpose(op.Reshape(v, v_heads), perm=_HEADS)
    share = op.Softmax(op.Add(op.MatMul(queries, keys), bias), axis=-1)
    return op.Reshape(op.Transpose(op.MatMul(share, values), perm=_HEADS), merge)


def _same_heads(_context: object, *, q_heads: ir.Value, k_heads: ir.Value, v_heads: ir.Value, **_: object) -> bool:
    heads = {_heads(split) for split in (q_heads, k_heads, v_heads)}
    return len(heads) == 1 and 0 not in heads


def _heads(split: ir.Value) -> int:
    """Return the number of heads that a Reshape to [b, s, heads, size] makes; 0 for any other."""
    shape = constant(split)
    return int(shape[2]) if shape is not None and shape.shape == (4,) and not shape[:2].any() else 0


def _same_tokens(q: ir.Value, k: ir.Value) -> bool:
    """Tell whether queries and keys are known to be of the same tokens."""
    sources = [_int8_input(value) for value in (q, k)]
    return sources[0] is not None and sources[0] is sources[1]


def _int8_input(value: ir.Value | None) -> ir.Value | None:
    """Return what the int8 layer behind a value, or behind a part of it, is given."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Split":
        return _int8_input(node.inputs[0])
    return node.inputs[0] if node is not None and node.op_type == "MatMulIntegerToFloat" else None


def _expand(op: Any, bias: ir.Value, q: ir.Value) -> ir.Value:  # noqa: ANN401
    ones, one = op.Constant(value_ints=[1, 1]), op.Constant(value_ints=[1])
    wide = op.Expand(bias, op.Concat(ones, op.Shape(q, start=1, end=2), one, axis=0))
    if not isinstance(wide, ir.Value):
        raise TypeError("Expand has one output")
    return wide
