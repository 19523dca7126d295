"""Small graphs that are no text encoders, with seeded weights, and inputs for them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class Net:
    """Collects nodes and constants; each method returns the name of what it made."""

    def __init__(self, seed=0):
        self.nodes, self.constants = [], {}
        self.random = np.random.default_rng(seed)

    def constant(self, value, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def weight(self, *shape):
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.constant((self.random.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def add(self, op_type, *inputs, outputs=1, **attributes):
        names = [f"{op_type}{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x, channels, to, kernel=3, group=1, rank=2):
        weight = self.weight(to, channels // group, *[kernel] * rank)
        pads = [kernel // 2] * 2 * rank
        bias = self.constant(self.random.normal(0, 0.1, to).astype(np.float32))
        return self.add("Conv", x, weight, bias, pads=pads, group=group)

    def model(self, inputs, outputs, opset=17, ir_version=8, **more):
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(name, *info) for name, info in inputs.items()],
            [helper.make_tensor_value_info(name, *info) for name, info in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = more.pop("opsets", [helper.make_opsetid("", opset)])
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, **more)


def images(count, channels=3, size=12, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.random((count, channels, size // 4, size // 4))
    smooth = coarse.repeat(4, 2).repeat(4, 3) + random.normal(0, 0.1, (count, channels, size, size))
    return smooth.astype(np.float32)


def classifier(opset=17, ir_version=8):
    """Convolutions, one of them depthwise, with odd channels; batch is dynamic; ends in a softmax."""
    net = Net()
    x = net.add("Relu", net.conv("image", 3, 32))
    x = net.add("Relu", net.conv(x, 32, 32, group=32))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Relu", net.conv(x, 32, 63))
    x = net.add("Relu", net.conv(x, 63, 32, kernel=1))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    x = net.add(
        "Softmax", net.add("MatMul", x, net.constant(net.random.normal(size=(32, 5)).astype(np.float32))), axis=1
    )
    net.nodes[-1].output[0] = "probabilities"
    return net.model(
        {"image": (FLOAT, ["n", 3, 12, 12])}, {"probabilities": (FLOAT, ["n", 5])}, opset=opset, ir_version=ir_version
    )


def recurrent(kind="LSTM", hidden=8):
    """A convolution over time, then a recurrent layer whose state goes in and out, batch of 1."""
    net, gates = Net(), {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    x = net.add("Relu", net.conv("audio", 4, 96, rank=1))
    x = net.conv(x, 96, 64, rank=1)
    x = net.add("Transpose", x, perm=[2, 0, 1])
    parts = [net.weight(1, gates * hidden, 64), net.weight(1, gates * hidden, hidden), "", "", "state"]
    parts += [net.constant(np.zeros((1, 1, hidden), np.float32))] if kind == "LSTM" else []
    found = net.add(kind, x, *parts, outputs=2, hidden_size=hidden)
    net.nodes[-1].output[:] = ["sequence", "state_out"]
    assert found
    inputs = {"audio": (FLOAT, [1, 4, "time"]), "state": (FLOAT, [1, 1, hidden])}
    return net.model(inputs, {"sequence": (FLOAT, ["time", 1, 1, hidden]), "state_out": (FLOAT, [1, 1, hidden])})


def branching():
    """A convolution in an If whose condition is an input, around one that is outside, and a Relu that both read."""
    net, random = Net(), np.random.default_rng(1)
    shared = net.add("Relu", net.conv("image", 3, 64))
    wide = net.conv(shared, 64, 32)
    weight = numpy_helper.from_array(random.normal(0, 0.1, (32, 64, 1, 1)).astype(np.float32), "inner")
    branches = [
        helper.make_graph(
            [helper.make_node("Conv", [shared, "inner"], [f"{name}_out"])],
            name, [], [helper.make_tensor_value_info(f"{name}_out", FLOAT, None)], [weight],
        )
        for name in ("then", "else")
    ]  # fmt: skip
    chosen = net.add("If", "flag", then_branch=branches[0], else_branch=branches[1])
    net.add("Add", wide, chosen)
    net.nodes[-1].output[0] = "y"
    return net.model(
        {"image": (FLOAT, [1, 3, 12, 12]), "flag": (TensorProto.BOOL, [])}, {"y": (FLOAT, [1, 32, 12, 12])}
    )


def decoder(width=160):
    """Cross-attention of tokens to an encoder's states, behind a mask of minus infinity; key and value go out too."""
    net = Net()
    matrix = lambda rows, columns: net.constant(  # noqa: E731
        (net.random.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)
    )
    x = net.add("Gather", net.weight(50, width), "ids")
    key = net.add("MatMul", "states", matrix(width, width))
    value = net.add("MatMul", "states", matrix(width, width))
    query = net.add("MatMul", x, matrix(width, width))
    hidden = [net.constant(np.float32(number)) for number in (0, -np.inf)]
    mask = net.add("Unsqueeze", net.add("Where", "mask", *hidden), net.constant(np.array([1], np.int64)))
    scores = net.add("Add", net.add("MatMul", query, net.add("Transpose", key, perm=[0, 2, 1])), mask)
    mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1), value)
    net.add("MatMul", net.add("Add", x, mixed), matrix(width, 300))
    net.nodes[-1].output[0] = "logits"
    for name, tensor in (("key", key), ("value", value)):
        net.add("Identity", tensor)
        net.nodes[-1].output[0] = name
    inputs = {"ids": (INT64, [1, "t"]), "states": (FLOAT, [1, "s", width]), "mask": (TensorProto.BOOL, [1, "s"])}
    outputs = {"logits": (FLOAT, [1, "t", 300])} | {name: (FLOAT, [1, "s", width]) for name in ("key", "value")}
    return net.model(inputs, outputs)


def detector():
    """Boxes and scores by convolutions, and what is kept of them by NonMaxSuppression: rows as many as there are."""
    net = Net()
    x = net.add("Relu", net.conv("image", 3, 64))
    x = net.add("Relu", net.conv(x, 64, 32))
    boxes = net.add("Reshape", net.add("Sigmoid", net.conv(x, 32, 4)), net.constant(np.array([1, -1, 4], np.int64)))
    scores = net.add("Reshape", net.add("Sigmoid", net.conv(x, 32, 2)), net.constant(np.array([1, 2, -1], np.int64)))
    limits = [net.constant(np.array([5], np.int64)), net.constant(np.array([0.5], np.float32)),
              net.constant(np.array([0.45], np.float32))]  # fmt: skip
    net.add("NonMaxSuppression", boxes, scores, *limits)
    net.nodes[-1].output[0] = "kept"
    return net.model({"image": (FLOAT, [1, 3, 12, 12])}, {"kept": (INT64, ["rows", 3])})


def saved(folder, model, name="net.onnx", **arrays):
    """Write the model, and its inputs where there are any; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    onnx.save(model, path)
    if arrays:
        np.savez(folder / "inputs.npz", **arrays)
    return path, folder / "inputs.npz"
