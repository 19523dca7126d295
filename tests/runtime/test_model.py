from dataclasses import replace

import numpy as np
import onnx
import pytest

from tests.runtime.tiny import (
    DIMENSION,
    MODEL_INFO,
    TEXTS,
    TOKENIZER_INFO,
    WORDS,
    model_bytes,
    table,
    text_model,
    tokenizer_json,
)
from toolkit.runtime import load
from toolkit.runtime import model as module
from toolkit.runtime.embedder import Embedder
from toolkit.runtime.engine_python import session_options
from toolkit.runtime.errors import BundleError, TextError, UsageError
from toolkit.runtime.manifest import INPUTS, SessionInfo

pytestmark = pytest.mark.usefixtures("engine")


def sentences(count: int) -> list[str]:
    """Lengths from 0 to 30 words, mixed."""
    rng = np.random.default_rng(3)
    return [" ".join(rng.choice(WORDS[4:], size=rng.integers(0, 30))) for _ in range(count)]


def test_output_is_the_mean_of_the_word_vectors():
    expected = table()[[2, 4, 5, 3]].mean(axis=0)
    np.testing.assert_allclose(text_model().run(["a cat"]), [expected], rtol=1e-6)


def test_alone_in_its_length_and_in_a_mixed_batch_are_equal():
    model = text_model(tokenizer_info=replace(TOKENIZER_INFO, max_length=64))
    texts = sentences(64)
    together = model.run(texts)
    alone = np.concatenate([model.run([text]) for text in texts])
    small = np.concatenate([model.run(texts[i : i + 16], batch_size=16) for i in range(0, 64, 16)])
    for other in (alone, small, model.run(texts, batch_size=1), model.run(texts[::-1])[::-1]):
        np.testing.assert_allclose(other, together, atol=1e-6)


def test_more_texts_than_a_window_keep_their_order(monkeypatch):
    texts = sentences(25)
    expected = text_model().run(texts)
    monkeypatch.setattr(module, "_CHUNK", 7)
    np.testing.assert_array_equal(text_model().run(texts), expected)


def test_token_types_reach_the_model():
    info = replace(MODEL_INFO, inputs=INPUTS)
    model = text_model(model_bytes(inputs=INPUTS), info=info)
    single, pair = model.run(["a cat dog"]), model.run([("a cat", "dog")])
    assert not np.allclose(single, pair)


def test_empty_list_and_empty_text():
    assert text_model().run([]).shape == (0, DIMENSION)
    assert text_model().run([]).dtype == np.float32
    assert np.isfinite(text_model(tokenizer=tokenizer_json(special=False)).run(["", "a"])).all()


def test_embedder_takes_a_list_or_one_string():
    embedder = Embedder(text_model())
    assert embedder.dimension == DIMENSION
    assert embedder.embed("a cat").shape == (DIMENSION,)
    np.testing.assert_array_equal(embedder.embed(("a cat",))[0], embedder.embed("a cat"))


@pytest.mark.parametrize("texts", ["a cat", b"a", None, 3])
def test_no_list(texts):
    with pytest.raises(TextError, match=r"not a list of strings"):
        text_model().run(texts)


def test_index_of_no_text_is_named():
    with pytest.raises(TextError, match=r"text 2 is not a string\n  got: int"):
        Embedder(text_model()).embed(["a", "b", 3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_output_is_an_error_that_names_the_text(bad):
    weights = table()
    weights[WORDS.index("dog")] = bad
    with pytest.raises(BundleError, match=r"NaN or infinite\n.*\n  got: 1 of 3, the first is text 1"):
        text_model(model_bytes(weights)).run(TEXTS)


@pytest.mark.parametrize(("argument", "message"), [({"threads": 0}, "threads"), ({"batch_size": 0}, "batch size")])
def test_numbers_below_one(argument, message, bundle):
    with pytest.raises(UsageError, match=rf"{message}.*too small"):
        load(bundle, argument.get("threads")).embed(["a"], argument.get("batch_size"))


def test_tokenizer_that_does_not_fit_the_model():
    with pytest.raises(BundleError, match=r"the model failed\n(.*\n)*.*indices element out of data bounds"):
        text_model(model_bytes(table(6))).run(["the mat"])


@pytest.mark.parametrize("data", [b"not onnx", b"", model_bytes()[:-40]])
def test_model_that_cannot_be_loaded(data, tmp_path, capfd):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"onnxruntime cannot load the model\n.*model.onnx"):
        text_model(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": INPUTS}, "model's inputs are not the manifest's"),
        ({"output": "pooled"}, "model's output is not the manifest's"),
        ({"dimension": 5}, r"another shape than the manifest says\n.*\n.*\(1, 4\)\n.*\(1, 5\)"),
    ],
)
def test_model_that_is_not_the_manifests(change, message):
    with pytest.raises(BundleError, match=message):
        text_model(info=replace(MODEL_INFO, **change)).run(["a"])


def test_out_of_memory_is_told_as_such():
    model = onnx.load_model_from_string(model_bytes())
    model.graph.initializer.append(onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [3], [2**44, 1, 4]))
    model.graph.node[-1].output[0] = "small"
    model.graph.node.append(onnx.helper.make_node("Expand", ["small", "shape"], ["output"]))
    with pytest.raises(MemoryError, match=r"allocate memory"):
        text_model(model.SerializeToString()).run(["a"])


@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "all"])
@pytest.mark.parametrize("flag", [True, False])
def test_settings_change_speed_not_numbers(level, flag):
    model = text_model(
        graph_optimization=level, allow_spinning=flag, memory_arena=flag, disabled_optimizers=("GeluFusion",)
    )
    np.testing.assert_allclose(model.run(TEXTS), text_model().run(TEXTS), atol=1e-6)


def test_settings_reach_the_session():
    options = session_options(SessionInfo(memory_arena=False), 3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.enable_cpu_mem_arena is False
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
