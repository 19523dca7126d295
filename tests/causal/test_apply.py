"""The operators of onnxruntime compute what the plan's blocks stand for."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.causal.apply import apply_blocks
from toolkit.causal.graph import load_graph, save_graph
from toolkit.causal.plan import plan_blocks
from toolkit.errors import ModelError
from toolkit.targets import BlockRule, TextGeneration

ROWS, WIDTH, INNER = 11, 32, 40  # of the table; 40 is no whole number of blocks


def settings(bits=4, rules=(), accuracy_level=1):
    return TextGeneration(bits=bits, block_size=16, accuracy_level=accuracy_level, rules=rules)


@pytest.fixture
def graph(tmp_path):
    """table → MatMul + bias → MatMul with the table again, transposed."""
    rng = np.random.default_rng(0)
    constants = {
        "table": rng.standard_normal((ROWS, WIDTH)),
        "up": rng.standard_normal((WIDTH, INNER)),
        "bias": rng.standard_normal(INNER),
        "down": rng.standard_normal((INNER, WIDTH)),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"], name="look"),
        helper.make_node("MatMul", ["rows", "up"], ["wide"], name="up/MatMul"),
        helper.make_node("Add", ["wide", "bias"], ["biased"], name="up/Add"),
        helper.make_node("MatMul", ["biased", "down"], ["narrow"], name="down/MatMul"),
        helper.make_node("Transpose", ["table"], ["turned"], name="turn", perm=[1, 0]),
        helper.make_node("MatMul", ["narrow", "turned"], ["logits"], name="lm_head/MatMul"),
    ]
    made = helper.make_graph(
        nodes,
        "lm",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "tokens", ROWS])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return load_graph(path)


def run(model, folder, ids):
    (path,) = save_graph(model, folder / "run.onnx")
    return ort.InferenceSession(path).run(None, {"input_ids": ids})[0]


def real(plan, ids):
    """Return what the plan's numbers give, in numpy."""
    up, down, head = (layer.blocks.real() for layer in plan.layers)
    (table,) = plan.tables
    rows = table.blocks.real().T[ids]
    return ((rows @ up + plan.layers[0].linear.bias) @ down) @ head


HEAD = BlockRule(why="the output", names=("*lm_head*",))


@pytest.mark.parametrize(("bits", "rules", "tied"), [(8, (), True), (4, (HEAD,), True), (4, (), False)])
def test_the_graph_computes_the_plan(graph, tmp_path, bits, rules, tied):
    plan = plan_blocks(graph, settings(bits, rules), None)
    quantized = apply_blocks(graph, plan)
    ids = np.arange(ROWS, dtype=np.int64)[None]
    assert np.allclose(run(quantized, tmp_path, ids), real(plan, ids), rtol=1e-4, atol=1e-4)
    assert [table.layer for table in plan.tables] == ["lm_head/MatMul" if tied else None]
    kinds = {node.op_type for node in quantized.graph}
    assert kinds == {"MatMulNBits", "GatherBlockQuantized"} | ({"Reshape"} if tied else set())
    assert not any(
        value.const_value.dtype == ir.DataType.FLOAT and value.const_value.size >= ROWS * WIDTH
        for value in quantized.graph.initializers.values()
    )  # no weight is left in float


def test_the_float_graph_is_left_as_it_was(graph, tmp_path):
    ids = np.array([[1, 2, 3]])
    before = run(graph, tmp_path, ids)
    apply_blocks(graph, plan_blocks(graph, settings(), None))
    assert np.array_equal(run(graph, tmp_path, ids), before)


def test_a_table_whose_rows_are_no_blocks_stays_float(graph):
    wide = TextGeneration(bits=8, block_size=256, accuracy_level=1)
    plan = plan_blocks(graph, wide, None)
    assert [(table.blocks, table.why) for table in plan.tables] == [
        (None, "Its rows are no whole number of blocks: it stays float.")
    ]


def test_a_quantized_graph_is_not_quantized_again(graph):
    once = apply_blocks(graph, plan_blocks(graph, settings(8), None))
    with pytest.raises(ModelError, match="no linear layer in float32") as caught:
        plan_blocks(once, settings(8), None)
    assert "quantized already" in str(caught.value)


def test_weights_that_one_file_cannot_hold_lie_beside_it(graph, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.causal.graph.ONE_FILE", 1000)
    files = save_graph(graph, tmp_path / "big.onnx")
    assert [path.name for path in files] == ["big.onnx", "big.onnx.data"]
    again = load_graph(files[0])
    assert isinstance(again.graph.initializers["up"].const_value, ir.ExternalTensor)
    plan = plan_blocks(again, settings(8), None)
    ids = np.array([[4, 5]])
    quantized = save_graph(apply_blocks(again, plan), tmp_path / "small.onnx")
    found = ort.InferenceSession(quantized[0]).run(None, {"input_ids": ids})[0]
    assert np.allclose(found, real(plan, ids), rtol=1e-4, atol=1e-4)


def test_a_file_that_is_no_graph(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="the graph cannot be read"):
        load_graph(tmp_path / "model.onnx")
