"""Real models with one fault each, through the command line: each has its own sentence, and exit status 3 or 2."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from tests.models import sentiment_probe
from toolkit.cli import main
from toolkit.errors import MissingExtraError
from toolkit.sources import demo_model, open_source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embedder(tmp_path_factory) -> Path:
    """Return all-MiniLM-L6-v2 as model.onnx with its tokenizer beside it."""
    try:
        folder = demo_model()
    except MissingExtraError as error:
        pytest.skip(str(error))
    return exported(folder, tmp_path_factory.mktemp("embedder"))


@pytest.fixture(scope="module")
def classifier(embedder, tmp_path_factory) -> Path:  # noqa: ARG001 - skips where there is no demo model
    """Return a classifier of two labels on the same weights."""
    probe = sentiment_probe(tmp_path_factory.mktemp("probe") / "probe", demo_model())
    return exported(probe, tmp_path_factory.mktemp("classifier"))


def exported(model: Path, out: Path) -> Path:
    source = open_source(str(model))
    ir.save(source.model, out / "model.onnx")
    (out / "tokenizer.json").write_text(source.tokenizer_json)
    config = {"max_position_embeddings": 512, "id2label": {str(i): label for i, label in enumerate(source.labels)}}
    (out / "config.json").write_text(json.dumps(config))
    return out


def copied(model: Path, out: Path, change: Callable[[onnx.ModelProto], None] = lambda _model: None) -> Path:
    """Return a copy of an exported model's folder, its graph changed."""
    out.mkdir()
    proto = onnx.load(model / "model.onnx")
    change(proto)
    onnx.save(proto, out / "model.onnx")
    for name in ("tokenizer.json", "config.json"):
        (out / name).write_bytes((model / name).read_bytes())
    return out


def weights(proto: onnx.ModelProto, part: str, value: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the largest constant whose name has ``part`` in it."""
    named = [tensor for tensor in proto.graph.initializer if part in tensor.name]
    tensor = max(named, key=lambda one: np.prod(one.dims))
    tensor.CopyFrom(numpy_helper.from_array(value(numpy_helper.to_array(tensor)).astype(np.float32), tensor.name))


def refused(capsys, model: Path, fp32: Path, code: int, *more: object) -> str:
    data = ("--limits", "x86-avx2", "--eval-samples", 30, "--decision", "point", "--threads", 2)
    command = ("gate", model / "model.onnx", fp32 / "model.onnx", *data, *more)
    assert main(list(map(str, command))) == code
    return capsys.readouterr().err


def test_nan_weights(embedder, tmp_path, capsys):
    def damage(values):
        return np.where(np.arange(values.size).reshape(values.shape) == 77, np.nan, values)

    spoilt = copied(embedder, tmp_path / "nan", lambda proto: weights(proto, "layer.3", damage))
    err = refused(capsys, spoilt, embedder, 3)
    assert "error: the int8 model's output is not finite\n" in err
    assert "(NaN or infinity)" in err


def test_a_swapped_tokenizer(embedder, tmp_path, capsys):
    swapped = copied(embedder, tmp_path / "swapped")
    fields = json.loads((swapped / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = fields["model"]["vocab"]
    words = list(vocabulary)
    fields["model"]["vocab"] = vocabulary | dict(
        zip(words[2000:], [vocabulary[word] for word in words[:1999:-1]], strict=True)
    )
    (swapped / "tokenizer.json").write_text(json.dumps(fields), encoding="utf-8")
    err = refused(capsys, swapped, embedder, 3)
    assert "error: the two models do not read the same tokens\n" in err
    assert "the two tokenizers give other tokens for" in err


def test_a_tokenizer_with_more_words_than_the_model(embedder, tmp_path, capsys):
    swapped = copied(embedder, tmp_path / "swapped")
    fields = json.loads((swapped / "tokenizer.json").read_text(encoding="utf-8"))
    fields["model"]["vocab"]["onemore"] = len(fields["model"]["vocab"])
    (swapped / "tokenizer.json").write_text(json.dumps(fields), encoding="utf-8")
    assert "error: the tokenizer does not fit the model\n" in refused(capsys, swapped, embedder, 2)


def test_permuted_labels(classifier, tmp_path, capsys):
    permuted = copied(classifier, tmp_path / "permuted")
    config = json.loads((permuted / "config.json").read_text())
    names = list(config["id2label"].values())
    config["id2label"] = {str(i): name for i, name in enumerate(reversed(names))}
    (permuted / "config.json").write_text(json.dumps(config))
    err = refused(capsys, permuted, classifier, 3)
    assert "error: the int8 model is not accurate enough\n" in err
    assert "the labels are permuted: int8 says" in err


def test_a_model_of_another_task(embedder, classifier, capsys):
    err = refused(capsys, classifier, embedder, 2)
    assert "error: the two models are for different tasks\n" in err
    assert "got: classification\n  expected: embedding" in err


@pytest.mark.parametrize("content", ["", "text,text2,score\n", " \n"])
def test_an_empty_evaluation_set(embedder, tmp_path, capsys, content):
    (tmp_path / "empty.csv").write_text(content)
    err = refused(capsys, embedder, embedder, 2, "--eval", tmp_path / "empty.csv")
    assert "error: a file " in err
    assert "empty.csv" in err


def test_one_constant_output(embedder, tmp_path, capsys):
    def zeros(proto):
        weights(proto, "layer.5.output.LayerNorm.weight", np.zeros_like)
        weights(proto, "layer.5.output.LayerNorm.bias", np.ones_like)

    err = refused(capsys, copied(embedder, tmp_path / "constant", zeros), embedder, 3)
    assert "error: the int8 model gives one output for every text\n" in err


def test_a_model_that_always_says_the_same_label(classifier, tmp_path, capsys):
    def biased(proto):
        tensor = next(
            one for one in proto.graph.initializer if list(one.dims) == [2] and one.data_type == onnx.TensorProto.FLOAT
        )
        tensor.CopyFrom(numpy_helper.from_array(np.array([50, 0], np.float32), tensor.name))

    err = refused(capsys, copied(classifier, tmp_path / "biased", biased), classifier, 3)
    assert "int8 calls every text" in err


def test_the_model_itself_is_refused_for_its_size_alone(embedder, capsys):
    err = refused(capsys, embedder, embedder, 3)
    assert "got: size_ratio 1 (is above 0.35; " in err
