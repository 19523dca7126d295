"""Applying a plan: the int8 graph, as ONNX Runtime's CPU kernels run it fastest.

A linear layer becomes ``QuantizeLinear`` (u8, static scale) and ``com.microsoft.MatMulIntegerToFloat`` (u8 x s8, one
scale per column, bias inside), and where outlier channels are left out, a small ``MatMul`` of these is added; nothing
else is quantized. An embedding becomes a gather of s8 rows and their scales.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from toolkit.lower import Lowered
from toolkit.numerics.activations import Float
from toolkit.plan import EmbeddingPlan, LinearPlan, QuantizedLinear, Quantizer, QuantPlan

MICROSOFT = "com.microsoft"


def apply(lowered: Lowered, plan: QuantPlan) -> ir.Model:
    """Return the int8 graph; the lowered one is left as it was."""
    model = lowered.model.clone()
    _Applier(model.graph).run(plan)
    model.opset_imports[MICROSOFT] = 1
    tidy(model)
    model.producer_name, model.producer_version = "edgequant", None
    return model


def tidy(model: ir.Model) -> None:
    """Bring a rewritten graph in order, without what no kernel needs."""
    for rewrite in (
        common.RemoveUnusedNodesPass(),
        common.DeduplicateHashedInitializersPass(),  # weights that a model uses again and again, as ALBERT does
        common.TopologicalSortPass(),
        common.ClearMetadataAndDocStringPass(),
    ):
        rewrite(model)
    _forget_shapes(model.graph)


def _forget_shapes(graph: ir.Graph) -> None:
    """Drop what is known of inner shapes, which ONNX Runtime does not need.

    Where it knows them it fuses Add + LayerNormalization into SkipLayerNormalization, whose CPU kernel is five times
    slower than the two: 39 against 27 ms for MiniLM at (8, 64), whatever program loads the file.
    """
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape, value.type = None, None


class _Applier:
    """Replaces the planned parts of one graph; activations that are quantized alike are quantized once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._nodes = {str(node.name): node for node in graph}
        self._values = {str(value.name): value for node in graph for value in node.outputs}
        self._values |= {str(value.name): value for value in graph.inputs}
        self._constants: dict[str, ir.Value] = {}
        self._outliers: dict[str, ir.Value] = {}
        self._quantized: dict[str, tuple[Quantizer, tuple[ir.Value, ir.Value, ir.Value]]] = {}

    def run(self, plan: QuantPlan) -> None:
        for linear in plan.linears:
            if linear.int8 is not None:
                self._replace_linear(linear, linear.int8)
        for embedding in plan.embeddings:
            if embedding.rows is not None:
                self._replace_embedding(embedding)

    def _replace_linear(self, plan: LinearPlan, int8: QuantizedLinear) -> None:
        name = plan.linear.name
        tape = ir.tape.Tape()
        u8, scale, zero = self._quantize(tape, plan.linear.input, int8.quantizer)
        inputs = [
            u8,
            self._constant(f"{name}.weight_s8", int8.weights.values),
            scale,
            self._constant(f"{name}.weight_scale", int8.weights.scale),
            zero,
            None,
            self._constant(f"{name}.bias", int8.bias),
        ]
        output = tape.op("MatMulIntegerToFloat", inputs, domain=MICROSOFT, name=name)
        if int8.apart is not None:
            output.name = f"{name}.inner"
            output = self._add_outliers(tape, plan, int8.apart, output)
        self._replace(tape, plan.linear.nodes, plan.linear.output, output)

    def _add_outliers(self, tape: ir.tape.Tape, plan: LinearPlan, weight: Float, inner: ir.Value) -> ir.Value:
        name = plan.linear.name
        channels = self._outliers[plan.linear.input]
        product = tape.op("MatMul", [channels, self._constant(f"{name}.outlier_weight", weight)], name=f"{name}.outer")
        product.name = f"{name}.outer"
        return tape.op("Add", [inner, product], name=f"{name}.sum")

    def _quantize(self, tape: ir.tape.Tape, name: str, quantizer: Quantizer) -> tuple[ir.Value, ir.Value, ir.Value]:
        known = self._quantized.get(name)
        if known is not None and known[0] is quantizer:
            return known[1]
        value = self._values[name]
        scale = self._constant(f"{name}.scale", np.array(quantizer.affine.scale, np.float32))
        zero = self._constant(f"{name}.zero_point", np.array(quantizer.affine.zero_point, np.uint8))
        if quantizer.smooth is not None:
            inverse = self._constant(f"{name}.smooth", (1 / quantizer.smooth).astype(np.float32))
            value = tape.op("Mul", [value, inverse], name=f"{name}.smoothed")
            value.name = f"{name}.smoothed"
        if quantizer.outliers is not None:
            self._outliers[name] = self._channels(tape, name, quantizer.outliers)
        u8 = tape.op("QuantizeLinear", [value, scale, zero], name=f"{name}.quantize")
        u8.name = f"{name}.u8"
        self._quantized[name] = (quantizer, (u8, scale, zero))
        return u8, scale, zero

    def _channels(self, tape: ir.tape.Tape, name: str, channels: npt.NDArray[np.int64]) -> ir.Value:
        """Return some channels of a value: a Slice is much faster than a Gather, where they are neighbours."""
        first, last = channels[[0]], channels[[-1]]
        if (last - first).item() == channels.size - 1:
            ends = (("first", first), ("end", last + 1), ("axis", np.array([-1], np.int64)))
            bounds = [self._constant(f"{name}.outliers.{kind}", array) for kind, array in ends]
            part = tape.op("Slice", [self._values[name], *bounds], name=f"{name}.outliers")
        else:
            index = self._constant(f"{name}.outliers.index", channels)
            part = tape.op("Gather", [self._values[name], index], attributes={"axis": -1}, name=f"{name}.outliers")
        part.name = f"{name}.outliers"
        return part

    def _replace_embedding(self, plan: EmbeddingPlan) -> None:
        embedding, rows = plan.embedding, plan.rows
        if rows is None:
            return
        tape = ir.tape.Tape()
        # Constants are named after the table, the rest after the lookup: a table may be looked up more than once.
        table, name = embedding.name, embedding.node
        indices = self._nodes[name].inputs[1]
        s8 = _gather(tape, self._constant(f"{table}.s8", rows.values), indices, f"{name}.s8")
        scale = _gather(tape, self._constant(f"{table}.scale", rows.scale[:, None]), indices, f"{name}.scale")
        real = tape.op("Cast", [s8], attributes={"to": ir.DataType.FLOAT}, name=f"{name}.cast")
        real.name = f"{name}.real"
        output = tape.op("Mul", [real, scale], name=f"{name}.dequantize")
        self._replace(tape, (name,), embedding.output, output)

    def _replace(self, tape: ir.tape.Tape, nodes: tuple[str, ...], output: str, new: ir.Value) -> None:
        old = [self._nodes[name] for name in nodes]
        target = old[-1].outputs[0]
        ir.convenience.replace_nodes_and_values(self._graph, old[-1], old, tape.nodes, [target], [new])
        new.name = output
        self._values[output] = new

    def _constant(self, name: str, array: npt.NDArray[Any]) -> ir.Value:
        if name not in self._constants:
            free = name
            while free in self._graph.initializers or free in self._values:
                free += "_int8"  # a float constant that is called so is another one: the merged layers' bias is
            value = ir.val(free, const_value=ir.tensor(np.ascontiguousarray(array), name=free))
            self._graph.register_initializer(value)
            self._constants[name] = value
        return self._constants[name]


def _gather(tape: ir.tape.Tape, table: ir.Value, indices: ir.Value | None, name: str) -> ir.Value:
    value = tape.op("Gather", [table, indices], attributes={"axis": 0}, name=f"{name}.gather")
    value.name = f"{name}.gathered"
    return value
