"""modules.json, 1_Pooling/config.json and their relatives."""

import json

import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes.common import RemoveUnusedNodesPass
from safetensors.numpy import save_file

from tests import models
from toolkit.errors import ModelError
from toolkit.sources import SourceOptions, open_source
from toolkit.sources.writer import set_output

MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
WAYS = ("cls", "max", "mean")
ACTIVATIONS = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.fixture
def folder(tmp_path):
    return models.tiny_bert(tmp_path / "st")


def dense_modules(folder, order, activation, *, bias=True):
    """Write the mean pooling and the modules after it; return the tensors of each Dense: 32 -> 24 -> 16."""
    models.sentence_transformer(folder, MEAN, normalize=False)
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    rng, weights = np.random.default_rng(5), []
    for place, kind in enumerate(order, 2):
        path = f"{place}_{kind}"
        modules.append({"path": path, "type": f"sentence_transformers.models.{kind}"})
        if kind == "Dense":
            size = 32 - 8 * len(weights)
            shapes = {"linear.weight": (size - 8, size)} | ({"linear.bias": (size - 8,)} if bias else {})
            weights.append({name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()})
            (folder / path).mkdir()
            save_file(weights[-1], folder / path / "model.safetensors")
            kind_name = f"torch.nn.modules.activation.{activation}"
            config = {"in_features": size, "out_features": size - 8, "bias": bias, "activation_function": kind_name}
            models.write_json(folder / path / "config.json", config)
    models.write_json(folder / "modules.json", modules)
    return weights


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (MEAN, "mean"),
        (MEAN | {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        (MEAN | {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_pooling_and_length_come_from_the_folder(folder, config, pooling):
    models.sentence_transformer(folder, config)
    source = open_source(str(folder))
    assert (source.pooling, source.normalize, source.max_length) == (pooling, True, 40)
    np.testing.assert_allclose(np.linalg.norm(models.outputs(source, models.TEXTS), axis=1), 1, atol=1e-6)


def test_the_user_overrules_the_folder(folder):
    models.sentence_transformer(folder, MEAN)
    source = open_source(str(folder), SourceOptions(pooling="cls", normalize=False, max_length=30, name="mine"))
    assert (source.pooling, source.normalize, source.max_length, source.name) == ("cls", False, 30, "mine")


def test_without_normalize(folder):
    assert not open_source(str(models.sentence_transformer(folder, MEAN, normalize=False))).normalize


def test_transformer_in_a_folder_of_its_own(folder):
    expected = models.outputs(open_source(str(models.sentence_transformer(folder, MEAN))), models.TEXTS)
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "sentence_bert_config.json",
    ):
        (folder / name).rename(inner / name)
    text = (folder / "modules.json").read_text(encoding="utf-8")
    (folder / "modules.json").write_text(text.replace('"path": ""', '"path": "0_Transformer"', 1), encoding="utf-8")
    source = open_source(str(folder))
    assert (source.name, source.max_length) == ("st", 40)
    np.testing.assert_array_equal(models.outputs(source, models.TEXTS), expected)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            MEAN | {"pooling_mode_weightedmean_tokens": True},
            r"unsupported pooling[\s\S]*got: mean \+ pooling_mode_weightedmean_tokens",
        ),
        ({"pooling_mode_lasttoken": True}, r"unsupported pooling[\s\S]*got: pooling_mode_lasttoken"),
        ({"pooling_mode_mean_tokens": False}, r"unsupported pooling[\s\S]*got: none"),
        ({"pooling_mode_mean_tokens": 1}, r"no usable 'pooling_mode_mean_tokens'[\s\S]*true or false"),
    ],
)
def test_other_poolings_are_refused(folder, config, words):
    models.sentence_transformer(folder, config)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_poolings_are_concatenated(folder):
    parts = [models.outputs(open_source(str(folder), SourceOptions(pooling=p)), models.TEXTS) for p in WAYS]
    models.sentence_transformer(folder, dict.fromkeys(MEAN, True), normalize=False)
    source = open_source(str(folder))
    assert (source.pooling, str(source.model.graph.outputs[0].shape)) == ("cls+max+mean", "[batch,96]")
    np.testing.assert_allclose(models.outputs(source, models.TEXTS), np.concatenate(parts, 1), atol=1e-6)


@pytest.mark.parametrize("kind", list(ACTIVATIONS))
@pytest.mark.parametrize("order", [["Dense"], ["Dense", "Normalize"], ["Normalize", "Dense"], ["Dense", "Dense"]])
def test_dense(folder, kind, order):
    plain = models.outputs(open_source(str(folder)), models.TEXTS)
    weights = dense_modules(folder, order, kind, bias=kind != "ReLU")
    source = open_source(str(folder))
    expected = plain
    for step in order:
        if step == "Normalize":
            expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
            continue
        w = weights.pop(0)
        expected = ACTIVATIONS[kind](expected @ w["linear.weight"].T + w.get("linear.bias", 0))
    assert source.normalize == (order[-1] == "Normalize")
    assert source.model.graph.outputs[0].shape[1] == expected.shape[1]
    np.testing.assert_allclose(models.outputs(source, models.TEXTS), expected, atol=2e-5)


def test_the_user_takes_normalize_out_or_puts_it_last(folder):
    dense_modules(folder, ["Normalize", "Dense"], "Tanh")
    without, last = (open_source(str(folder), SourceOptions(normalize=flag)) for flag in (False, True))
    assert (without.normalize, last.normalize) == (False, True)
    np.testing.assert_allclose(np.linalg.norm(models.outputs(last, models.TEXTS), axis=1), 1, atol=1e-6)
    assert not any("normalize" in str(node.name) for node in without.model.graph)


def test_dense_counts_for_the_digest(folder):
    weights = dense_modules(folder, ["Dense"], "Tanh")
    digest = open_source(str(folder)).digest
    save_file(weights[0] | {"linear.bias": weights[0]["linear.bias"] + 1}, folder / "2_Dense" / "model.safetensors")
    assert open_source(str(folder)).digest != digest


def test_dense_after_an_onnx_encoder(folder):
    dense_modules(folder, ["Dense", "Normalize"], "Tanh")
    expected = models.outputs(open_source(str(folder)), models.TEXTS)
    graph = open_source(str(folder), SourceOptions(pooling="cls", normalize=False)).model
    tokens = next(node for node in graph.graph if node.name == "pooling/Gather").inputs[0]
    set_output(graph.graph, tokens, "last_hidden_state", 32)
    tokens.shape = ir.Shape(("batch", "sequence", 32))
    RemoveUnusedNodesPass()(graph)
    (folder / "model.safetensors").unlink()
    ir.save(graph, folder / "model.onnx")
    source = open_source(str(folder))
    assert (source.built_by, source.normalize) == ("onnx file", True)
    np.testing.assert_allclose(models.outputs(source, models.TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activation_function": "torch.nn.modules.activation.SiLU"}, r"unsupported Dense module[\s\S]*SiLU"),
        ({"in_features": None}, "no usable 'in_features'"),
        ({"in_features": 16}, "tensor linear.weight has the wrong shape"),
    ],
)
def test_dense_that_does_not_fit(folder, changes, words):
    dense_modules(folder, ["Dense"], "Tanh")
    models.change_json(folder / "2_Dense" / "config.json", **changes)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_dense_of_another_size_than_the_pooling(folder):
    dense_modules(folder, ["Dense"], "Tanh")
    models.write_json(folder / "1_Pooling" / "config.json", dict.fromkeys(MEAN, True))
    with pytest.raises(ModelError, match=r"Dense module does not fit[\s\S]*got: in_features = 32[\s\S]*expected: 96"):
        open_source(str(folder))


def test_dense_without_safetensors(folder):
    dense_modules(folder, ["Dense"], "Tanh")
    path = folder / "2_Dense" / "model.safetensors"
    path.rename(path.with_name("pytorch_model.bin"))
    with pytest.raises(ModelError, match=r"no weights found[\s\S]*where: .*2_Dense[\s\S]*hint: load the model"):
        open_source(str(folder))


def test_other_modules_are_refused(folder):
    models.sentence_transformer(folder, MEAN)
    path = folder / "modules.json"
    path.write_text(path.read_text(encoding="utf-8").replace("models.Normalize", "models.CNN"), encoding="utf-8")
    with pytest.raises(ModelError, match=r"unsupported modules[\s\S]*got: Transformer, Pooling, CNN"):
        open_source(str(folder))


def test_a_default_prompt_is_refused(folder):
    models.sentence_transformer(folder, MEAN)
    models.write_json(folder / "config_sentence_transformers.json", {"default_prompt_name": "query"})
    with pytest.raises(ModelError, match=r"puts a prompt before every text[\s\S]*got: query"):
        open_source(str(folder))


def test_modules_json_of_another_shape(folder):
    models.write_json(folder / "modules.json", {"type": "x"})
    with pytest.raises(ModelError, match=r"modules.json is not a list of modules"):
        open_source(str(folder))


def test_pooling_without_its_config(folder):
    models.sentence_transformer(folder, MEAN)
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"the pooling has no config.json[\s\S]*1_Pooling"):
        open_source(str(folder))
