"""Random small graphs through the whole command: a bundle that runs, or words; never what nobody foresaw."""

import itertools
import re

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from tests.graphs import nets
from tests.graphs.nets import FLOAT, INT64, Net
from tests.graphs.test_command import quantize
from toolkit.runtime import load

STEPS = ("conv", "depthwise", "pointwise", "relu", "clip", "leaky", "sigmoid", "pool", "average", "double", "residual",
         "concat", "upsample", "pad", "slice", "transpose", "norm", "matmul", "lstm", "gru", "loop", "if", "topk",
         "hardswish", "split", "reduce")  # fmt: skip


def build(steps, *, dynamic, opset, seed):
    """Return a graph of [n, 8, 8, 8] or so, and its input; each step keeps what the next can take."""
    net = Net(seed)
    x, channels = "x", 8
    for step in steps:
        x = apply(net, x, step)
    net.add("Identity", x)
    net.nodes[-1].output[0] = "y"
    shape = ["n", 8, "h", "w"] if dynamic else [1, 8, 8, 8]
    assert channels == 8
    return net.model({"x": (FLOAT, shape)}, {"y": (FLOAT, None)}, opset=opset)


def apply(net, x, step):  # noqa: C901, PLR0911, PLR0912 - a table of small graphs
    ints = lambda *values: net.constant(np.array(values, np.int64))  # noqa: E731
    if step in ("conv", "depthwise", "pointwise"):
        return net.conv(x, 8, 8, kernel=1 if step == "pointwise" else 3, group=8 if step == "depthwise" else 1)
    if step in ("relu", "leaky", "sigmoid"):
        return net.add({"relu": "Relu", "leaky": "LeakyRelu", "sigmoid": "Sigmoid"}[step], x)
    if step == "clip":
        return net.add("Clip", x, net.constant(np.float32(-1)), net.constant(np.float32(6)))
    if step in ("pool", "average"):
        kind = "MaxPool" if step == "pool" else "AveragePool"
        return net.add(kind, x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    if step == "double":
        return net.add("Mul", x, net.constant(np.float32(2)))
    if step == "residual":
        return net.add("Add", x, net.conv(x, 8, 8))
    if step == "hardswish":
        return net.add("Mul", x, net.add("HardSigmoid", x))
    if step == "concat":
        return net.conv(net.add("Concat", x, net.add("Relu", x), axis=1), 16, 8, kernel=1)
    if step == "upsample":
        scales = net.constant(np.array([1, 1, 2, 2], np.float32))
        return net.add("MaxPool", net.add("Resize", x, "", scales, mode="nearest"), kernel_shape=[2, 2], strides=[2, 2])
    if step == "pad":
        return net.add("MaxPool", net.add("Pad", x, ints(0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=[3, 3])
    if step == "slice":
        return net.add("Concat", net.add("Slice", x, ints(0), ints(4), ints(1)),
                       net.add("Slice", x, ints(4), ints(8), ints(1)), axis=1)  # fmt: skip
    if step == "split":
        return net.add("Concat", *net.add("Split", x, ints(3, 5), outputs=2, axis=1), axis=1)
    if step == "transpose":
        return net.add("Transpose", net.add("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    if step == "norm":
        return net.add(
            "InstanceNormalization", x, net.constant(np.ones(8, np.float32)), net.constant(np.zeros(8, "f4"))
        )
    if step == "reduce":
        return net.add("Sub", x, net.add("ReduceMean", x, axes=[2], keepdims=1))
    if step == "matmul":
        return net.add("MatMul", x, net.add("Identity", net.weight(8, 8)))
    if step == "topk":
        return net.add("TopK", x, ints(8), outputs=2)[0]
    if step in ("lstm", "gru"):
        gates = 4 if step == "lstm" else 3
        rows = net.add("Reshape", x, ints(-1, 1, 8))
        y = net.add(step.upper(), rows, net.weight(1, gates * 8, 8), net.weight(1, gates * 8, 8), hidden_size=8)
        return net.add("Add", x, net.add("Reshape", y, net.add("Shape", x)))
    inner = numpy_helper.from_array(
        net.random.normal(0, 0.1, (8, 8, 1, 1)).astype(np.float32), f"inner{len(net.nodes)}"
    )
    name = f"body{len(net.nodes)}"
    if step == "if":
        value = [helper.make_tensor_value_info(f"{name}_y", FLOAT, None)]
        bodies = [
            helper.make_graph(
                [helper.make_node("Conv", [x, inner.name], [f"{name}_y"])], f"{name}{k}", [], value, [inner]
            )
            for k in (0, 1)
        ]
        return net.add("If", net.constant(np.array(True)), then_branch=bodies[0], else_branch=bodies[1])
    inputs = [helper.make_tensor_value_info(f"{name}_i", INT64, []), helper.make_tensor_value_info(f"{name}_c", 9, []),
              helper.make_tensor_value_info(f"{name}_x", FLOAT, None)]  # fmt: skip
    outputs = [
        helper.make_tensor_value_info(f"{name}_k", 9, []),
        helper.make_tensor_value_info(f"{name}_y", FLOAT, None),
    ]
    nodes = [helper.make_node("Identity", [f"{name}_c"], [f"{name}_k"]),
             helper.make_node("Conv", [f"{name}_x", inner.name], [f"{name}_y"])]  # fmt: skip
    body = helper.make_graph(nodes, name, inputs, outputs, [inner])
    return net.add("Loop", net.constant(np.array(2, np.int64)), net.constant(np.array(True)), x, body=body)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=6),
    dynamic=st.booleans(),
    opset=st.sampled_from([11, 13, 17]),
    seed=st.integers(0, 99),
)
def test_a_random_graph_is_quantized_or_refused_in_words(tmp_path_factory, capsys, steps, dynamic, opset, seed):
    folder = tmp_path_factory.mktemp("fuzz")
    inputs = nets.images(8, channels=8, size=8, seed=seed)
    paths = nets.saved(folder, build(steps, dynamic=dynamic, opset=opset, seed=seed), x=inputs)
    code = quantize(*paths, folder / "bundle")
    said = capsys.readouterr().err
    assert code in (0, 1, 3), said
    assert "unexpected" not in said, said
    assert (folder / "bundle").exists() == (code == 0)
    if code == 0:
        (found,) = load(folder / "bundle", 1).run({"x": inputs[:1]}).values()
        assert np.isfinite(found).all()
    else:
        assert re.search(r"^error: .+\n  where: ", said, re.MULTILINE), said


def test_each_step_alone(tmp_path, capsys):
    """Every kind of node at least once, between two convolutions, static and dynamic."""
    for step, dynamic in itertools.product(STEPS, (True, False)):
        folder = tmp_path / f"{step}{dynamic}"
        model = build(["conv", step, "conv"], dynamic=dynamic, opset=17, seed=1)
        code = quantize(*nets.saved(folder, model, x=nets.images(8, channels=8, size=8)), folder / "bundle")
        said = capsys.readouterr().err
        assert code in (0, 3), (step, said)
        assert "unexpected" not in said
