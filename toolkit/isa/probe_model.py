"""The probes' one ONNX model, in the two forms of int8 products that bundles use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Ints = npt.NDArray[np.int64]
Form = Literal["MatMulInteger", "MatMulIntegerToFloat"]
FORMS: tuple[Form, ...] = ("MatMulInteger", "MatMulIntegerToFloat")
_INT16 = (-32768, 32767)


@dataclass(frozen=True)
class Probe:
    """``(a - zero_point) @ b``: a u8 [M, K], b s8 [K, N], as ``form`` computes it."""

    name: str
    form: Form
    a: Ints
    b: Ints
    zero_point: int

    def exact(self) -> Ints:
        """Return the true sums [M, N]."""
        return (self.a - self.zero_point) @ self.b

    def saturated(self) -> Ints:
        """Return the sums [M, N] where pairs of products are added in 16 bits; the zero point is applied after."""
        odd = self.a.shape[1] % 2
        a, b = np.pad(self.a, ((0, 0), (0, odd))), np.pad(self.b, ((0, odd), (0, 0)))
        products = a[:, :, None] * b[None]
        pairs = np.clip(products[:, 0::2] + products[:, 1::2], *_INT16)
        return np.asarray(pairs.sum(1) - self.zero_point * self.b.sum(0), np.int64)


def probe_model(probes: tuple[Probe, ...]) -> bytes:
    """Return a model from int64 ``input_ids`` [1, all of a] to float32 ``sums`` [1, all], one probe after the other."""
    graph = _Graph()
    start = 0
    for number, probe in enumerate(probes):
        graph.add(probe, f"p{number}", start)
        start += probe.a.size
    graph.node("Concat", graph.sums, "sums", {"axis": 1})
    total = sum(probe.exact().size for probe in probes)
    made = helper.make_graph(
        graph.nodes,
        "probes",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, start])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, [1, total])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """Collects the nodes and constants of one model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.sums: list[str] = []

    def add(self, probe: Probe, name: str, start: int) -> None:
        """Slice the probe's part out of the input, multiply it, and lay the sums [1, M * N] aside."""
        ends = [self.constant(f"{name}.{edge}", [at]) for edge, at in (("from", start), ("to", start + probe.a.size))]
        part = self.node("Slice", ["input_ids", *ends, self.constant("axis", [1])], f"{name}.part")
        shaped = self.node("Reshape", [part, self.constant(f"{name}.shape", probe.a.shape)], f"{name}.a")
        b = self.constant(f"{name}.b", probe.b.astype(np.int8))
        zero = self.constant(f"{name}.zero", np.uint8(probe.zero_point))
        if probe.form == "MatMulInteger":
            u8 = self.node("Cast", [shaped], f"{name}.u8", {"to": TensorProto.UINT8})
            product = self.node(probe.form, [u8, b, zero], f"{name}.product")
            real = self.node("Cast", [product], f"{name}.real", {"to": TensorProto.FLOAT})
        else:
            one, columns = self.constant("one", np.float32(1)), np.ones(probe.b.shape[1], np.float32)
            real_a = self.node("Cast", [shaped], f"{name}.a_real", {"to": TensorProto.FLOAT})
            moved = self.node(
                "Sub", [real_a, self.constant(f"{name}.moved", np.float32(probe.zero_point))], f"{name}.x"
            )
            u8 = self.node("QuantizeLinear", [moved, one, zero], f"{name}.u8")
            inputs = [u8, b, one, self.constant(f"{name}.scale", columns), zero]
            real = self.node(probe.form, inputs, f"{name}.real")
        flat = self.constant("flat", [1, -1])
        self.sums.append(self.node("Reshape", [real, flat], f"{name}.sums"))

    def constant(self, name: str, value: Any) -> str:  # noqa: ANN401 - whatever numpy takes
        if all(known.name != name for known in self.constants):
            self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, attributes: Mapping[str, Any] | None = None) -> str:
        domain = "com.microsoft" if kind == "MatMulIntegerToFloat" else ""
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **(attributes or {})))
        return output
