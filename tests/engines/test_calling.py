"""Engines as processes: what they build, what is said where they are not installed or fail."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.models import TEXTS, tiny_bert
from toolkit.engines import calling
from toolkit.engines.catalog import ENGINES, python_of
from toolkit.engines.order import Order, read_feeds, write_feeds
from toolkit.errors import EdgequantError, MissingExtraError
from toolkit.feeds import equal_length_feeds
from toolkit.isa.place import run
from toolkit.quantize import calibration_tokens
from toolkit.samples import load_samples
from toolkit.sources import open_source
from toolkit.subjects import source_subject

INC, OPENVINO = (
    Path(__file__).parents[2] / ".venv-engines" / name / "bin" / "python" for name in ("neural-compressor", "openvino")
)


@pytest.fixture(scope="module")
def order(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    source = open_source(str(tiny_bert(folder / "tiny", hidden=64)))
    (folder / "fp32.onnx").write_bytes(source_subject(source).model)
    (folder / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    texts = load_samples(str(folder / "texts.txt"), "calibration")
    inputs = source_subject(source).info.inputs
    write_feeds(folder / "feeds.npz", equal_length_feeds(calibration_tokens(source, texts, texts), inputs))
    return Order(str(folder / "fp32.onnx"), str(folder / "feeds.npz"), str(folder / "out.onnx"), "avx2", True)


def built(order, name, tmp_path, python=None):
    engine = ENGINES[name]
    place = calling.interpreter(python, tmp_path)
    calling.require(engine, place)
    return calling.build(engine, replace(order, out=str(tmp_path / f"out{engine.suffix}")), place)


def test_feeds_come_back_as_they_were(tmp_path):
    feeds = [{"input_ids": np.arange(n + 1)[None], "attention_mask": np.ones((1, n + 1), np.int64)} for n in range(12)]
    write_feeds(tmp_path / "feeds.npz", feeds)
    for wrote, got in zip(feeds, read_feeds(str(tmp_path / "feeds.npz")), strict=True):
        assert list(got) == list(wrote)
        assert all(np.array_equal(got[name], wrote[name]) for name in wrote)


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-defaults", "onnxruntime-dynamic"])
def test_onnxruntime_builds_twice_the_same(order, tmp_path, name):
    models = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = built(order, name, folder)
        models.append(made.model.read_bytes())
        assert made.bytes == len(models[-1])
        assert made.by.startswith("onnxruntime ")
        assert made.seconds > 0
        assert made.peak_bytes > 10_000_000
    assert models[0] == models[1]


def test_onnxruntime_is_set_as_the_target_wants_it(order, tmp_path):
    """Weights of ±64 by column where pairs saturate, u8 activations, and no output is quantized."""
    graph = onnx.load(built(order, "onnxruntime", tmp_path).model).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    fed = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.input[:1]}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    makers = {output: node for node in graph.node for output in node.output}
    weights = [
        constants[maker.input[0]]
        for node in products
        if (maker := makers.get(node.input[1])) is not None and maker.op_type == "DequantizeLinear"
    ]
    assert len(weights) == 12
    assert all(weight.dtype == np.int8 and np.abs(weight.astype(int)).max() <= 64 for weight in weights)
    zeros = {constants[node.input[2]].dtype for node in graph.node if node.op_type == "QuantizeLinear"}
    assert zeros == {np.dtype(np.uint8)}
    assert not fed & {output for node in products for output in node.output}


@pytest.mark.parametrize(
    ("name", "python"),
    [("neural-compressor", INC), ("neural-compressor-dynamic", INC), ("nncf-openvino", OPENVINO)],
)
def test_engines_in_environments_of_their_own(order, tmp_path, name, python):
    if not python.is_file():
        pytest.skip("make engines installs it")
    made = built(order, name, tmp_path, python)
    assert made.bytes > 10_000
    assert made.by.startswith(("neural-compressor 3.7", "nncf 3"))


def test_an_engine_that_is_not_installed_says_how_it_is(tmp_path):
    engine = replace(ENGINES["neural-compressor"], needs=("no_such_package.inner", "json"))
    with pytest.raises(MissingExtraError) as error:
        calling.require(engine, calling.interpreter(None, tmp_path))
    assert "the engine neural-compressor is not installed" in str(error.value)
    assert "no no_such_package.inner" in str(error.value)
    assert "hint: pip install neural-compressor==3.7.1 onnx==1.18.0" in str(error.value)


def test_an_engine_that_fails_is_told_in_its_last_words(order, tmp_path):
    (tmp_path / "fp32.onnx").write_bytes(b"no model")
    with pytest.raises(EdgequantError, match="the engine onnxruntime-dynamic built no model") as error:
        built(replace(order, model=str(tmp_path / "fp32.onnx")), "onnxruntime-dynamic", tmp_path)
    assert "got: onnx.onnx_cpp2py_export.checker.ValidationError: Unable to parse proto" in str(error.value)


def test_an_engine_that_dies_without_a_word(order, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(EdgequantError, match="built no model") as error:
        calling.build(
            ENGINES["onnxruntime"],
            replace(order, out=str(tmp_path / "out.onnx")),
            calling.interpreter(tmp_path / "python", tmp_path),
        )
    assert "exit code 9 and no word" in str(error.value)


def test_another_python_finds_this_toolkit_and_nothing_else_of_here(tmp_path):
    place = calling.interpreter(Path(sys.executable).resolve(), tmp_path)
    code = "import toolkit, sys; print(toolkit.__file__); print([name for name in sys.path if 'site-packages' in name])"
    found, packages = run(place, ("-P", "-c", code)).stdout.decode().splitlines()
    assert found == str(tmp_path / "toolkit" / "__init__.py")
    assert str(Path(sys.prefix)) not in packages


def test_what_runs_in_another_python_needs_nothing_but_numpy(tmp_path):
    """Not all of them have what edgequant itself needs: NNCF's has no onnx_ir."""
    ours = ("datasets", "h11", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "pydantic", "rich", "tokenizers")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ours}))\n"
        "import toolkit.engines.building, toolkit.engines.serving; print('fine')"
    )
    assert run(calling.interpreter(None, tmp_path), ("-P", "-c", code)).stdout == b"fine\n"


def test_a_python_is_named_for_an_engine_or_its_family():
    named = {"neural-compressor": Path("a"), "onnxruntime-dynamic": Path("b")}
    assert python_of("neural-compressor-dynamic", named) == Path("a")
    assert python_of("neural-compressor", named) == Path("a")
    assert python_of("onnxruntime-dynamic", named) == Path("b")
    assert python_of("onnxruntime", named) is None
