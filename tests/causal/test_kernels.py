"""No kernel of MatMulNBits saturates: all codes at one end, all inputs at their largest, on this CPU and on AVX2."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.isa.native import python_here
from toolkit.isa.place import Place, run

INNER, COLUMNS, BLOCK = 256, 64, 32
PROGRAM = """
import json, sys
import numpy as np, onnxruntime as ort
for path, rows in json.load(sys.stdin):
    found = ort.InferenceSession(path).run(None, {"x": np.ones((rows, 256), np.float32)})[0]
    print(json.dumps(found.tolist()))
"""


def write(path, bits, code):
    """Write x @ W whose codes are all the same; 4 bits hold two of them in a byte."""
    codes = np.full((COLUMNS, INNER // BLOCK, BLOCK * bits // 8), code if bits == 8 else code * 17, np.uint8)
    scales = np.ones((COLUMNS, INNER // BLOCK), np.float32)
    attributes = {"K": INNER, "N": COLUMNS, "bits": bits, "block_size": BLOCK, "accuracy_level": 4}
    node = helper.make_node("MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft", **attributes)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
        for name, size in (("x", INNER), ("y", COLUMNS))
    ]
    constants = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]
    graph = helper.make_graph([node], "kernel", values[:1], values[1:], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.mark.parametrize("where", ["here", "avx2"])
def test_sums_at_the_ends_are_exact(tmp_path, where, request):
    place = request.getfixturevalue("avx2") if where == "avx2" else Place("here", "native", *python_here())
    jobs, expected = [], []
    for bits in (4, 8):
        for code in (0, 2**bits - 1):
            path = tmp_path / f"{bits}-{code}.onnx"
            write(path, bits, code)
            for rows in (1, 5):
                jobs.append((str(path), rows))
                expected.append(np.full((rows, COLUMNS), INNER * (code - 2 ** (bits - 1))))
    done = run(place, ("-c", PROGRAM), json.dumps(jobs).encode())
    found = [np.array(json.loads(line)) for line in done.stdout.decode().splitlines()]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
