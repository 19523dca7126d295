"""GELU, written out by exporters, becomes one node.

``x · ½ · (1 + erf(x / √2))``, in any order of its factors → ``com.microsoft.Gelu(x)``, and the approximation
``x · ½ · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`` → ``com.microsoft.FastGelu(x)``.
Source: Hendrycks and Gimpel, arXiv 1606.08415.
"""

from collections.abc import Iterator
from math import pi, sqrt
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.polynomial import Polynomial
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.constants import HALF_PRECISION, is_scalar, scalar

MICROSOFT = "com.microsoft"
_DEGREE = 4
# What is under the function, as coefficients of 1, x, x², x³; and the runtime's operator for the whole.
_INNER = {"Erf": ((0, sqrt(0.5)), "Gelu"), "Tanh": ((0, sqrt(2 / pi), 0, sqrt(2 / pi) * 0.044715), "FastGelu")}


def pattern(op: Any, a: Any, b: Any) -> Any:  # noqa: ANN401 - the library's
    """Return the last multiplication; what comes before it is followed by ``check``."""
    return op.Mul(a, b, _outputs=["product"])


def check(context: object, product: ir.Value, **_: object) -> MatchResult:
    """Refuse other products, and other constants: QuickGELU and the like are other functions."""
    del context
    result = MatchResult()
    return result if _recognize(product) else result.fail("no GELU, or other constants than GELU's", product)


def rewrite(op: Any, product: ir.Value, **_: object) -> Any:  # noqa: ANN401
    """Return the one node."""
    found = _recognize(product)
    return None if found is None else getattr(op, found[0])(found[1], _domain=MICROSOFT, _version=1)


RULE = RewriteRule(pattern, rewrite, check, name="Gelu")


def _recognize(product: ir.Value) -> tuple[str, ir.Value] | None:
    """Return the operator that a product of x, ½ and 1 + f(x) is, and x."""
    for gate, function in _gates(product, 2):
        coefficients, operator = _INNER[function.op_type]
        for x in _factors(product, 2):
            if x.dtype not in (None, ir.DataType.FLOAT):
                continue  # the runtime has no kernel for it
            if _monomial(product, x, gate) == (0.5, 1, 1) and _equal(_polynomial(function.inputs[0], x), coefficients):
                return operator, x
    return None


def _factors(value: ir.Value | None, depth: int) -> Iterator[ir.Value]:
    """Return what a value is the product of, at every depth down to one."""
    node = None if value is None else value.producer()
    if node is None or depth == 0 or node.op_type not in ("Mul", "Div") or node.domain:
        return
    for factor in node.inputs:
        if factor is not None:
            yield factor
            yield from _factors(factor, depth - 1)


def _gates(value: ir.Value, depth: int) -> Iterator[tuple[ir.Value, ir.Node]]:
    """Return every factor of the form 1 + f, with the node of f."""
    for factor in _factors(value, depth):
        add = factor.producer()
        if add is None or add.op_type != "Add" or add.domain:
            continue
        for term, other in (add.inputs, add.inputs[::-1]):
            function = None if term is None else term.producer()
            if function is not None and function.op_type in _INNER and is_scalar(other, 1):
                yield factor, function


def _monomial(value: ir.Value | None, x: ir.Value, gate: ir.Value) -> tuple[float, int, int] | None:
    """Return c, i, j of a value that is c·xⁱ·gateʲ."""
    if value is x or value is gate:
        return 1.0, int(value is x), int(value is gate)
    if (number := scalar(value)) is not None:
        return number, 0, 0
    node = None if value is None else value.producer()
    if node is None or node.domain or node.op_type not in ("Mul", "Div"):
        return None
    left, right = _monomial(node.inputs[0], x, gate), _monomial(node.inputs[1], x, gate)
    if left is None or right is None or (node.op_type == "Div" and (right[1:] != (0, 0) or not right[0])):
        return None
    number = right[0] if node.op_type == "Mul" else 1 / right[0]
    return left[0] * number, left[1] + right[1], left[2] + right[2]


def _polynomial(value: ir.Value | None, x: ir.Value) -> Polynomial | None:
    """Return a value that is a polynomial in x, as that."""
    if value is x:
        return Polynomial([0, 1])
    if (number := scalar(value)) is not None:
        return Polynomial([number])
    node = None if value is None else value.producer()
    if node is None or node.domain or node.op_type not in ("Add", "Mul", "Div", "Pow"):
        return None
    left, right = _polynomial(node.inputs[0], x), _polynomial(node.inputs[1], x)
    if left is None or right is None or left.degree() + right.degree() > _DEGREE:
        return None
    return _combined(node.op_type, left, right)


def _combined(operator: str, left: Polynomial, right: Polynomial) -> Polynomial | None:
    if operator == "Add":
        return left + right
    if operator == "Mul":
        return left * right
    number = right.coef[0] if right.degree() == 0 else 0.0
    if operator == "Div":
        return left / number if number else None
    return left ** int(number) if number in (2, 3) and left.degree() == 1 else None


def _equal(got: Polynomial | None, expected: tuple[float, ...]) -> bool:
    if got is None or got.degree() + 1 != len(expected):
        return False
    return bool(np.allclose(got.coef, expected, rtol=HALF_PRECISION, atol=0))
