"""In which order kernels pack a convolution's weights: what the pair bound of graphs rests on, seen by saturation."""

import itertools
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.isa.place import run
from toolkit.numerics.weights import packed_columns, pair_bound_holds

RUN = """
import json, sys, numpy as np, onnxruntime as ort
found = []
for path, channels in json.load(sys.stdin):
    x = np.full((1, channels, 8, 8), 255, np.uint8)
    y = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    found.append([int(y.min()), int(y.max())])
print(json.dumps(found))
"""
EXACT = round(2 * 255 * 127 / 500)
SHAPES = ((8, 1, 1), (4, 3, 1), (3, 3, 1), (5, 3, 1), (16, 3, 2), (1, 3, 8), (3, 7, 1))  # channels, kernel, groups


def saved(path, weights, group):
    """Write a convolution that ONNX Runtime runs as QLinearConv: u8 in, s8 weights, u8 out with a scale of 500."""
    constants = {"w": weights, "one": np.float32(1), "scale": np.float32(500), "zero": np.uint8(0)}
    constants |= {"ones": np.ones(len(weights), np.float32), "zeros": np.zeros(len(weights), np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "one", "zero"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ones", "zeros"], ["wf"], axis=0),
        helper.make_node("Conv", ["xf", "wf"], ["yf"], group=group),
        helper.make_node("QuantizeLinear", ["yf", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, weights.shape[1] * group, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def pairs(channels, kernel):
    """Yield places of two weights of 127: neighbouring channels at one place, neighbouring places, and neither."""
    places = [(channel, 0, 0) for channel in range(min(channels, 4))]
    yield from ((places[0], other) for other in places[1:])
    yield from itertools.pairwise(places)
    if kernel > 1:
        yield (channels - 1, 0, 0), (0, 0, 1)
        yield (0, 0, 0), (0, 0, 1)


@pytest.mark.slow
def test_pairs_saturate_just_where_the_bound_says_so(avx2, tmp_path):
    asked, bounded = [], []
    for channels, kernel, group in SHAPES:
        for first, second in dict.fromkeys(pairs(channels, kernel)):
            if first == second:
                continue
            weights = np.zeros(
                (16 if group == 1 else group * 2 if channels > 1 else group, channels, kernel, kernel), np.int8
            )
            for place in (first, second):
                weights[(slice(None), *place)] = 127
            path = tmp_path / f"{len(asked)}.onnx"
            saved(path, weights, group)
            asked.append([str(path), channels * group])
            depthwise = group > 1 and channels == 1  # a kernel of its own, which adds in 32 bits
            bounded.append(depthwise or pair_bound_holds(packed_columns(weights, "Conv")))
    done = run(avx2, ("-c", RUN), json.dumps(asked).encode())
    found = json.loads(done.stdout)
    assert len(set(map(tuple, found))) == 2, found  # exact, and saturated
    assert [low == high == EXACT for low, high in found] == bounded
    assert True in bounded
    assert False in bounded
