import gzip
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import models
from tests.graphs import run
from toolkit.lower import lower
from toolkit.sources import SourceOptions, open_source
from toolkit.sources.widen import Widen

HALF = Path(__file__).parent.parent / "golden" / "exports" / "bert-float16.onnx.gz"


def narrow(dtype=np.float16) -> ir.Model:
    """A branch, a cast and a maker of tensors in half precision: y = x·w + (x.sum() > 0 ? 2 : 0) + zeros."""
    kind = int(ir.DataType.from_numpy(np.dtype(dtype)))
    make, value = helper.make_node, helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.arange(16).reshape(4, 4).astype(dtype), "w")

    def branch(number: float) -> onnx.GraphProto:
        constant = numpy_helper.from_array(np.full(4, number).astype(dtype), "c")
        return helper.make_graph([make("Identity", ["c"], ["i"])], "branch", [], [value("i", kind, [4])], [constant])

    nodes = [
        make("Cast", ["x"], ["narrow"], to=kind),
        make("MatMul", ["narrow", "w"], ["product"]),
        make("ReduceSum", ["x"], ["total"], keepdims=0),
        make("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0, np.float32))),
        make("Greater", ["total", "zero"], ["large"]),
        make("If", ["large"], ["c"], then_branch=branch(2), else_branch=branch(0)),
        make("Add", ["product", "c"], ["sum"]),
        make("Shape", ["x"], ["shape"]),
        make("ConstantOfShape", ["shape"], ["none"], value=numpy_helper.from_array(np.zeros(1, dtype))),
        make("Add", ["sum", "none"], ["result"]),
        make("Cast", ["result"], ["y"], to=TensorProto.FLOAT),
    ]
    inputs, outputs = [value("x", TensorProto.FLOAT, ["b", 4])], [value("y", TensorProto.FLOAT, ["b", 4])]
    graph = helper.make_graph(nodes, "test", inputs, outputs, [weight])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_everything_is_float32(dtype):
    model = narrow(dtype)
    assert Widen()(model).modified
    assert not Widen()(model).modified
    for sign in (1, -1):
        x = sign * np.arange(8, dtype=np.float32).reshape(2, 4)
        expected = x @ np.arange(16, dtype=np.float32).reshape(4, 4) + (2 if sign == 1 else 0)
        np.testing.assert_array_equal(run(model, {"x": x})["y"], expected)
    assert len(lower(model).linears) == 1


def test_a_clone_leaves_the_original_as_it_was():
    model = narrow()
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    Widen()(model.clone())
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_a_file_in_float16_is_read_as_float32(tmp_path):
    (tmp_path / "model.onnx").write_bytes(gzip.decompress(HALF.read_bytes()))
    models.tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    source = open_source(str(tmp_path), SourceOptions(max_length=40))
    types = {value.dtype for node in source.model.graph for value in node.outputs}
    assert ir.DataType.FLOAT16 not in types
    assert len(lower(source.model).linears) == 8
