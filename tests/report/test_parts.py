import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.report.page import Part
from toolkit.report.parts import parts

TABLE = np.zeros((100, 8), np.float32)
WEIGHT = np.zeros((8, 16), np.float32)


def model(nodes, **constants) -> bytes:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, [None])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, tensors)).SerializeToString()


FLOAT = model(
    [helper.make_node("Gather", ["table", "ids"], ["x"]), helper.make_node("MatMul", ["x", "weight"], ["y"])],
    table=TABLE,
    weight=WEIGHT,
)
INT8 = model(
    [
        helper.make_node("DequantizeLinear", ["table", "scale"], ["rows"]),
        helper.make_node("Gather", ["rows", "ids"], ["x"]),
        helper.make_node("MatMulInteger", ["x", "weight"], ["y"]),
    ],
    table=TABLE.astype(np.int8),
    weight=WEIGHT.astype(np.int8),
    scale=np.float32(1),
)


def test_parts_are_found_by_what_uses_them_and_add_up_to_the_file():
    found = {part.name: part for part in parts(FLOAT, INT8)}
    assert found["embedding tables"] == Part("embedding tables", TABLE.nbytes, TABLE.size)
    assert found["linear layers, int8"] == Part("linear layers, int8", 0, WEIGHT.size)
    assert found["linear layers, float"] == Part("linear layers, float", WEIGHT.nbytes, 0)
    assert sum(part.fp32 for part in found.values()) == len(FLOAT)
    assert sum(part.int8 for part in found.values()) == len(INT8)


def test_without_the_float_model_its_sizes_are_unknown():
    assert {part.fp32 for part in parts(None, INT8)} == {None}
    assert "linear layers, float" not in {part.name for part in parts(None, INT8)}


@pytest.mark.parametrize("operator", ["Transpose", "Identity"])
def test_weights_that_pass_through_and_constants_of_nodes_count(operator):
    constant = helper.make_node("Constant", [], ["weight"], value=numpy_helper.from_array(WEIGHT))
    passed = helper.make_node(operator, ["weight"], ["moved"])
    found = parts(None, model([constant, passed, helper.make_node("MatMul", ["ids", "moved"], ["y"])]))
    assert Part("linear layers, float", None, WEIGHT.nbytes) in found


def test_a_weight_that_nothing_uses_is_in_the_rest():
    (only,) = parts(None, model([helper.make_node("Identity", ["ids"], ["y"])], weight=WEIGHT))
    assert only.name == "the rest"


def test_weights_in_another_file_are_no_bytes_of_this_one():
    loaded = onnx.load_model_from_string(FLOAT)
    tensor = loaded.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere")
    data = loaded.SerializeToString()
    assert sum(part.int8 for part in parts(None, data)) == len(data)
