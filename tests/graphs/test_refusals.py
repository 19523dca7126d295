"""What cannot be quantized, or fed, is refused in words, with the exit code that says whose mistake it is."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.graphs import nets
from tests.graphs.nets import FLOAT, Net
from tests.graphs.test_command import quantize
from toolkit.cli import main

X, Y = {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, None)}
FOUR = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)


def net(*inputs, op_type="Relu", **more):
    made = Net()
    made.add(op_type, *(inputs or ("x",)), **more)
    made.nodes[-1].output[0] = "y"
    return made


def quantized():
    made = net("x", "scale", op_type="QuantizeLinear")
    made.constant(np.float32(0.1), "scale")
    return made.model(X, {"y": (TensorProto.UINT8, ["n", 4])})


def not_a_number():
    made = net("x", "w", op_type="MatMul")
    made.constant(np.full((4, 8000), np.nan, np.float32), "w")
    return made.model(X, Y)


def only_inside(op_type):
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["inner"])], "body", [],
        [helper.make_tensor_value_info("inner", FLOAT, None)],
        [numpy_helper.from_array(np.ones((4, 8000), np.float32), "w")],
    )  # fmt: skip
    made = net("flag", op_type=op_type, then_branch=body, else_branch=body)
    made.constant(np.array(True), "constant")
    return made.model(X | {"flag": (TensorProto.BOOL, [])}, Y)


def tree():
    made = Net()
    made.nodes.append(
        helper.make_node(
            "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
            nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0], nodes_truenodeids=[1, 0, 0],
            nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
            target_weights=[1.0, 2.0],
        )
    )  # fmt: skip
    return made.model(X, Y, opsets=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)])


def custom():
    made = net(op_type="Wavelet", domain="my.own")
    return made.model(X, Y, opsets=[helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)])


MODELS = {
    "nothing to quantize": (net().model(X, Y), "nothing in the model to quantize\n.*\n  got: Relu"),
    "a tree": (tree(), "nothing in the model to quantize\n.*\n  got: ai.onnx.ml.TreeEnsembleRegressor"),
    "inside an If": (only_inside("If"), r"got: If, MatMul \(inside If too\)"),
    "an own operator": (custom(), "onnxruntime cannot load the model\n.*\n.*Wavelet"),
    "quantized": (quantized(), "quantized already\n.*\n  got: QuantizeLinear"),
    "not finite weights": (not_a_number(), "MatMul: Its weights are not finite."),
    "strings": (net(op_type="Identity").model({"x": (TensorProto.STRING, ["n", 4])}, {"y": (TensorProto.STRING, None)}),
                "'x' is no array of numbers.*\n.*\n  got: string"),
    "a sequence": (net(op_type="SplitToSequence").model(X, Y), "onnxruntime cannot load the model"),
    "no input": (net("c0", op_type="Relu").model({}, Y), "the model has no input|onnxruntime cannot load"),
    "a future opset": (net().model(X, Y, opset=99), "onnxruntime cannot load the model"),
    "an opset of stone": (net().model(X, Y, opset=1), "opset is too old|nothing in the model|cannot load"),
    "a half": (net("x", "w", op_type="MatMul").model({"x": (TensorProto.FLOAT16, ["n", 4])}, {"y": (1, None)}),
               "onnxruntime cannot load the model"),
}  # fmt: skip


@pytest.mark.parametrize("what", MODELS)
def test_a_model_that_cannot_be_used(tmp_path, what, capsys):
    model, message = MODELS[what]
    path, _ = nets.saved(tmp_path, model)
    np.savez(tmp_path / "inputs.npz", x=FOUR)
    code = quantize(path, tmp_path / "inputs.npz", tmp_path / "bundle")
    said = capsys.readouterr().err
    assert code in (1, 2), said
    assert "unexpected" not in said
    if message:
        assert code == 1
        assert_matches(said, message)
    assert not (tmp_path / "bundle").exists()


def assert_matches(said, pattern):
    assert re.search(pattern, said), said


@pytest.mark.parametrize("cut", [0, 1, 7, 100, 400])
def test_a_file_that_was_cut_off(tmp_path, cut, capsys):
    whole = nets.classifier().SerializeToString()
    (tmp_path / "net.onnx").write_bytes(whole[: cut if cut < 400 else len(whole) - cut])
    np.savez(tmp_path / "inputs.npz", image=nets.images(24))
    assert quantize(tmp_path / "net.onnx", tmp_path / "inputs.npz", tmp_path / "bundle") == 1
    assert "cannot read the ONNX model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"GIF89a", b"\x00" * 300, b"#!/bin/sh\n" * 50, np.random.default_rng(0).bytes(3000)]
)
def test_what_is_no_onnx_at_all(tmp_path, content, capsys):
    (tmp_path / "net.onnx").write_bytes(content)
    np.savez(tmp_path / "inputs.npz", image=nets.images(24))
    assert quantize(tmp_path / "net.onnx", tmp_path / "inputs.npz", tmp_path / "bundle") == 1
    said = capsys.readouterr().err
    assert "the ONNX model" in said
    assert "unexpected" not in said


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return nets.saved(tmp_path_factory.mktemp("model"), nets.classifier())[0]


GOOD = nets.images(24)
INPUTS = {
    "another name": ({"picture": GOOD}, "the model has no input 'picture'"),
    "none": ({}, "there is no array for input 'image'"),
    "doubles": ({"image": GOOD.astype(np.float64)}, r"does not fit\n.*sample 0\n  got: float64 \[1, 3, 12, 12\]"),
    "too many axes": ({"image": GOOD[None, None]}, r"another number of axes\n.*\n.*\n  expected: \[samples, \?, 3"),
    "another size": ({"image": nets.images(24, size=16)}, r"got: float32 \[1, 3, 16, 16\]"),
    "no samples": ({"image": GOOD[:0]}, "there is no sample in the file"),
    "one sample": ({"image": GOOD[:1]}, "too few different samples to hold some back"),
    "the same ones": ({"image": GOOD[[0] * 24]}, "too few different samples to hold some back"),
    "infinite": ({"image": np.where(GOOD > 1, np.inf, GOOD).astype("f4")}, "no layer saw finite numbers"),
    "labels that are none": ({"image": GOOD, "labels": np.zeros((24, 2), int)}, "no row of whole numbers"),
    "labels of other classes": ({"image": GOOD, "labels": np.full(24, 77)}, "labels are not the model's"),
    "more labels": ({"image": GOOD, "labels": np.zeros(9, int)}, "different numbers of samples"),
}  # fmt: skip


@pytest.mark.parametrize("what", INPUTS)
def test_inputs_that_do_not_fit(model, tmp_path, what, capsys):
    arrays, message = INPUTS[what]
    np.savez(tmp_path / "inputs.npz", **arrays)
    assert quantize(model, tmp_path / "inputs.npz", tmp_path / "bundle") in (1, 2)
    said = capsys.readouterr().err
    assert_matches(said, message)
    assert "unexpected" not in said


def test_files_that_are_no_arrays(model, tmp_path, capsys):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04" + b"\x00" * 40)
    for name in ("objects.npy", "text.npz", "cut.npz"):
        assert quantize(model, tmp_path / name, tmp_path / "bundle") == 2
        assert "the arrays cannot be read" in capsys.readouterr().err
    for name in ("missing.npz", "nothing-*.npz"):
        assert quantize(model, tmp_path / name, tmp_path / "bundle") == 2
        assert "there are no such inputs" in capsys.readouterr().err


def test_an_npy_for_several_inputs(tmp_path, capsys):
    path, _ = nets.saved(tmp_path, nets.recurrent())
    np.save(tmp_path / "audio.npy", np.zeros((4, 1, 4, 20), np.float32))
    assert quantize(path, tmp_path / "audio.npy", tmp_path / "bundle") == 2
    assert "an .npy is for a model of one input" in capsys.readouterr().err


def test_calibration_and_evaluation_overlap(model, tmp_path, capsys):
    np.savez(tmp_path / "inputs.npz", image=GOOD)
    np.savez(tmp_path / "eval.npz", image=np.concatenate([nets.images(3, seed=9), GOOD[:2]]))
    arguments = (model, tmp_path / "inputs.npz", tmp_path / "bundle", "--eval", str(tmp_path / "eval.npz"))
    assert quantize(*arguments) == 1
    assert "2 of 5 samples of eval.npz are in inputs.npz too" in capsys.readouterr().err


def test_options_of_texts(model, tmp_path, capsys):
    np.savez(tmp_path / "inputs.npz", image=GOOD)
    assert quantize(model, tmp_path / "inputs.npz", tmp_path / "bundle", "--pooling", "mean") == 2
    assert "--pooling is for text models" in capsys.readouterr().err


def test_without_calibration_it_tells_what_the_model_takes(model, tmp_path, capsys):
    assert main(["quantize", str(model), "-t", "x86-avx2", "-o", str(tmp_path / "bundle")]) == 2
    said = capsys.readouterr().err
    assert "image float32 [?, 3, 12, 12]" in said
    assert "--calibration inputs.npz" in said


def test_a_gate_that_fails_writes_nothing_and_exits_3(tmp_path, capsys):
    """Weights that no eight bits hold: the answer hangs on the last bits of a large sum."""
    made = net("x", "w", op_type="MatMul")
    wide = np.random.default_rng(0).normal(size=(4, 8000)).astype(np.float32)
    made.constant(np.concatenate([wide[:2], -wide[:1], wide[3:]]).astype(np.float32), "w")
    made.constant(wide, "again")
    model = made.model(X, {"y": (FLOAT, ["n", 8000])})
    values = np.random.default_rng(1).normal(size=(24, 4)).astype(np.float32)
    values[:, 0] = 10_000
    values[:, 2] = values[:, 0]
    path, inputs = nets.saved(tmp_path, model, x=values)
    assert quantize(path, inputs, tmp_path / "bundle") == 3
    assert "so no bundle was written" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_model_too_broken_for_a_session(tmp_path, capsys):
    made = net("x", "missing", op_type="MatMul")
    path, inputs = nets.saved(tmp_path, made.model(X, Y), x=FOUR)
    assert quantize(path, inputs, tmp_path / "bundle") == 1
    assert "onnxruntime cannot load the model" in capsys.readouterr().err


def test_onnx_files_of_the_tests_are_valid():
    onnx.checker.check_model(nets.classifier())
    onnx.checker.check_model(nets.detector())


@pytest.mark.parametrize("name", [b"Conv0_0", b"image", b"Relu"])
def test_names_that_are_no_text(tmp_path, name, capsys):
    """As a damaged copy has them: protobuf gives bytes for such a name, or fails wherever it is looked at."""
    data = nets.classifier().SerializeToString().replace(name, b"\xff" + name[1:])
    (tmp_path / "net.onnx").write_bytes(data)
    np.savez(tmp_path / "inputs.npz", image=nets.images(24))
    assert quantize(tmp_path / "net.onnx", tmp_path / "inputs.npz", tmp_path / "bundle") == 1
    assert "cannot read the ONNX model" in capsys.readouterr().err
