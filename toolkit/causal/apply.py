"""The graph with its weights in blocks: ``MatMulNBits`` and ``GatherBlockQuantized`` of onnxruntime's own operators.

With ``accuracy_level`` 4 the kernel takes its inputs as int8 too, a scale for each block, where the CPU has such a
kernel; elsewhere it multiplies in float (onnxruntime, docs/ContribOperators.md).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from toolkit.causal.plan import BlockPlan, LayerBlocks, TableBlocks
from toolkit.numerics.blocks import Blocks

MICROSOFT = "com.microsoft"


def apply_blocks(model: ir.Model, plan: BlockPlan) -> ir.Model:
    """Return the quantized graph; the float one is left as it was."""
    copy = model.clone()
    _Applier(copy.graph, plan).run()
    copy.opset_imports[MICROSOFT] = 1
    for rewrite in (
        common.RemoveUnusedNodesPass(),
        common.TopologicalSortPass(),
        common.ClearMetadataAndDocStringPass(),
    ):
        rewrite(copy)
    copy.producer_name, copy.producer_version = "edgequant", None
    return copy


def packed(blocks: Blocks) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Return codes [N, blocks, bytes], scales [N, blocks] and zero points, None where they are the operator's own.

    Two codes of 4 bits share a byte, the earlier one in its lower half; a last block is filled up with zero points.
    """
    rows, columns = blocks.codes.shape
    count = len(blocks.scales)
    filled = np.repeat(blocks.zeros, blocks.size, axis=0)
    filled[:rows] = blocks.codes
    codes = np.ascontiguousarray(filled.T).reshape(columns, count, blocks.size)
    scales = np.ascontiguousarray(blocks.scales.T)
    if blocks.bits == 8:
        return codes, scales, None
    zeros = np.full((columns, count + count % 2), 8, np.uint8)
    zeros[:, :count] = blocks.zeros.T
    return _in_pairs(codes), scales, _in_pairs(zeros)


def _in_pairs(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.bitwise_or(codes[..., ::2], np.left_shift(codes[..., 1::2], 4)).astype(np.uint8)


class _Applier:
    """Replaces the planned layers and tables of one graph."""

    def __init__(self, graph: ir.Graph, plan: BlockPlan) -> None:
        self._graph, self._plan = graph, plan
        self._nodes = {str(node.name): node for node in graph}
        self._weights: dict[str, tuple[ir.Value, ir.Value]] = {}  # codes and scales of a layer, which a table may share

    def run(self) -> None:
        for layer in self._plan.layers:
            self._replace_layer(layer)
        for table in self._plan.tables:
            if table.blocks is not None:
                self._replace_table(table, table.blocks)

    def _replace_layer(self, layer: LayerBlocks) -> None:
        linear, blocks = layer.linear, layer.blocks
        codes, scales, zeros = packed(blocks)
        name = linear.name
        inputs = [
            self._nodes[linear.nodes[0]].inputs[0],
            self._constant(f"{name}.weight_{blocks.bits}bit", codes),
            self._constant(f"{name}.scales", scales),
            None if zeros is None else self._constant(f"{name}.zeros", zeros),
            None,
            None if linear.bias is None else self._constant(f"{name}.bias", linear.bias),
        ]
        while inputs[-1] is None:
            inputs.pop()
        self._weights[name] = (inputs[1], inputs[2])  # type: ignore[assignment]
        attributes = {
            "K": linear.weight.shape[0],
            "N": linear.weight.shape[1],
            "bits": blocks.bits,
            "block_size": blocks.size,
            "accuracy_level": self._plan.settings.accuracy_level,
        }
        tape = ir.tape.Tape()
        output = tape.op("MatMulNBits", inputs, attributes, domain=MICROSOFT, name=name)
        self._replace(tape, linear.nodes, linear.output, output)

    def _replace_table(self, table: TableBlocks, blocks: Blocks) -> None:
        name, tape = table.embedding.node, ir.tape.Tape()
        if table.layer is None:
            codes, scales, _ = packed(blocks)
            flat = self._constant(f"{name}.table_8bit", codes.reshape(len(codes), -1))
            scale = self._constant(f"{name}.scales", scales)
        else:
            shared, scale = self._weights[table.layer]
            shape = self._constant(f"{name}.shape", np.array([blocks.codes.shape[1], -1], np.int64))
            flat = tape.op("Reshape", [shared, shape], name=f"{name}.flat")
        inputs = [flat, self._nodes[name].inputs[1], scale]
        attributes = {"bits": 8, "block_size": blocks.size, "gather_axis": 0, "quantize_axis": 1}
        output = tape.op("GatherBlockQuantized", inputs, attributes, domain=MICROSOFT, name=name)
        self._replace(tape, (name,), table.embedding.output, output)

    def _replace(self, tape: ir.tape.Tape, nodes: tuple[str, ...], output: str, new: ir.Value) -> None:
        old = [self._nodes[name] for name in nodes]
        target = old[-1].outputs[0]
        ir.convenience.replace_nodes_and_values(self._graph, old[-1], old, tape.nodes, [target], [new])
        new.name = output

    def _constant(self, name: str, array: npt.NDArray[Any]) -> ir.Value:
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
        self._graph.register_initializer(value)
        return value
