"""Graphs built from weights: structure, heads, poolings, padding, and what is refused."""

import json
from math import erf, sqrt

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from safetensors.numpy import load_file, save_file

from tests import models
from toolkit.errors import ModelError, NumericsError, UsageError
from toolkit.sources import SourceOptions, open_source

TEXTS = models.TEXTS
QUERY = "encoder.layer.0.attention.self.query"


@pytest.fixture
def folder(tmp_path):
    return models.tiny_bert(tmp_path / "tiny")


def change_weights(folder, **changes):
    """Replace tensors (dots written __), or take them out with None."""
    path = folder / "model.safetensors"
    weights = load_file(path) | {name.replace("__", "."): value for name, value in changes.items()}
    save_file({name: value for name, value in weights.items() if value is not None}, path)


def reference_tokens(folder, feed, prefix=""):
    """BERT in numpy, float64: an implementation that shares nothing with the builder."""
    w = {name.removeprefix(prefix): v.astype(np.float64) for name, v in load_file(folder / "model.safetensors").items()}

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(erf)(x / sqrt(2)))

    ids = feed["input_ids"]
    b, s = ids.shape
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:s]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][feed["token_type_ids"]], "embeddings.LayerNorm")
    hidden = x.shape[-1]
    for number in range(2):
        layer = f"encoder.layer.{number}"
        q, k, v = (
            linear(x, f"{layer}.attention.self.{part}").reshape(b, s, 4, hidden // 4).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(hidden // 4)
        scores = np.where(feed["attention_mask"][:, None, None, :] == 1, scores, -np.inf)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        context = (share @ v).transpose(0, 2, 1, 3).reshape(b, s, hidden)
        x = norm(linear(context, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        y = gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(linear(y, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    return x


def test_structure_and_names(folder):
    source = open_source(str(folder))
    onnx.checker.check_model(ir.to_proto(source.model))
    graph = source.model.graph
    assert [value.name for value in graph.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [value.name for value in graph.outputs] == ["sentence_embedding"]
    assert str(graph.outputs[0].shape) == "[batch,32]"
    kinds = [node.op_type for node in graph]
    assert (kinds.count("MatMul"), kinds.count("LayerNormalization"), kinds.count("Gelu")) == (2 * 8, 5, 2)
    node = next(node for node in graph if node.name == f"{QUERY}/MatMul")
    assert node.inputs[0].name == "embeddings.LayerNorm"
    assert node.inputs[1].name == f"{QUERY}.weight"
    assert node.outputs[0].consumers()[0].outputs[0].name == QUERY
    assert len({node.name for node in graph}) == len(list(graph))
    assert source.model.ir_version <= 10
    assert graph.opset_imports == {"": 20}


def test_plain_encoder_is_pooled_by_the_mean(folder):
    source = open_source(str(folder))
    assert (source.pooling, source.normalize, source.max_length, source.name) == ("mean", False, 48, "tiny")
    feed = models.feed(source, TEXTS)
    mask = feed["attention_mask"][:, :, None]
    expected = (reference_tokens(folder, feed) * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=2e-5)


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_other_poolings(folder, pooling):
    source = open_source(str(folder), SourceOptions(pooling=pooling))
    feed = models.feed(source, TEXTS)
    tokens = reference_tokens(folder, feed)
    masked = np.where(feed["attention_mask"][:, :, None] == 1, tokens, -np.inf)
    expected = tokens[:, 0] if pooling == "cls" else masked.max(1)
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=2e-5)


def test_classifier(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="classifier")
    source = open_source(str(folder))
    assert (source.task, source.output, source.labels) == (
        "classification",
        "logits",
        ("calm", "glad", "sad"),
    )
    assert (source.multi_label, source.pooling, source.normalize) == (False, None, False)
    w = load_file(folder / "model.safetensors")
    tokens = reference_tokens(folder, models.feed(source, TEXTS), "bert.")
    pooled = np.tanh(tokens[:, 0] @ w["bert.pooler.dense.weight"].T + w["bert.pooler.dense.bias"])
    expected = pooled @ w["classifier.weight"].T + w["classifier.bias"]
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=2e-5)


def test_encoder_of_a_classifier(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="classifier")
    source = open_source(str(folder), SourceOptions(task="embedding"))
    assert (source.task, source.labels) == ("embedding", ())


def test_multi_label(tmp_path):
    assert open_source(str(models.tiny_bert(tmp_path / "m", head="multi_label"))).multi_label


def test_missing_id2label_gives_numbered_labels(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="classifier")
    models.change_json(folder / "config.json", id2label=None)
    assert open_source(str(folder)).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("head", [None, "classifier"])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_padding_changes_nothing(tmp_path, head, pooling):
    folder = models.tiny_bert(tmp_path / "p", head=head)
    source = open_source(str(folder), SourceOptions(pooling=None if head else pooling))
    together = models.outputs(source, TEXTS, length=60)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(models.outputs(source, [text])[0], together[row], atol=2e-6)


def test_a_row_of_padding_alone_stays_finite(folder):
    source = open_source(str(folder), SourceOptions(normalize=True))
    feed = models.feed(source, TEXTS)
    feed["attention_mask"][1] = 0
    result = models.session(source).run(None, feed)[0]
    assert np.isfinite(result).all()
    assert not result[1].any()


def test_opening_twice_gives_the_same(folder):
    first, second = open_source(str(folder)), open_source(str(folder))
    assert first.digest == second.digest
    assert first.tokenizer_json == second.tokenizer_json
    assert ir.to_proto(first.model).SerializeToString(deterministic=True) == ir.to_proto(
        second.model
    ).SerializeToString(deterministic=True)
    models.change_json(folder / "config.json", layer_norm_eps=1e-5)
    assert open_source(str(folder)).digest != first.digest


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_float_weights_become_float32(folder, kind):
    path = folder / "model.safetensors"
    save_file({name: value.astype(kind) for name, value in load_file(path).items()}, path)
    source = open_source(str(folder))
    assert {v.dtype for v in source.model.graph.initializers.values()} == {
        ir.DataType.FLOAT,
        ir.DataType.INT64,
    }
    assert np.isfinite(models.outputs(source, TEXTS)).all()


def test_shards(folder):
    expected = models.outputs(open_source(str(folder)), TEXTS)
    path = folder / "model.safetensors"
    weights = load_file(path)
    names = sorted(weights)
    homes = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for home in set(homes.values()):
        save_file({name: weights[name] for name in names if homes[name] == home}, folder / home)
    path.unlink()
    models.write_json(folder / "model.safetensors.index.json", {"weight_map": homes})
    np.testing.assert_array_equal(models.outputs(open_source(str(folder)), TEXTS), expected)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="a file of weights is missing"):
        open_source(str(folder))


def test_first_checkpoints_call_the_norm_gamma_and_beta(folder):
    expected = models.outputs(open_source(str(folder)), TEXTS)
    path = folder / "model.safetensors"
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = {}
    for name, value in load_file(path).items():
        end = next((end for end in old if name.endswith(end)), "")
        weights[name.removesuffix(end) + old.get(end, "")] = value
    save_file(weights, path)
    np.testing.assert_array_equal(models.outputs(open_source(str(folder)), TEXTS), expected)


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_other_activations(folder, activation):
    plain = models.outputs(open_source(str(folder)), TEXTS)
    models.change_json(folder / "config.json", hidden_act=activation)
    off = np.abs(models.outputs(open_source(str(folder)), TEXTS) - plain).max()
    assert 0 < off < (0.01 if activation == "gelu_new" else 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "silu"}, r"hidden_act = silu is not supported[\s\S]*gelu[\s\S]*hint: export"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type = relative_key is not supported",
        ),
        ({"is_decoder": True}, "is_decoder = true is not supported"),
        ({"hidden_size": "32"}, r"config.json has no usable 'hidden_size'[\s\S]*got: \"32\""),
        ({"vocab_size": None}, r"no usable 'vocab_size'[\s\S]*got: nothing"),
        ({"layer_norm_eps": "small"}, "no usable 'layer_norm_eps'"),
        ({"num_attention_heads": 5}, "num_attention_heads does not divide hidden_size"),
        (
            {"architectures": ["BertForQuestionAnswering"]},
            r"unsupported kind of model[\s\S]*BertForQuestionAnswering",
        ),
        ({"architectures": ["BertForMaskedLM"]}, "unsupported kind of model"),
        ({"hidden_size": 16}, r"has the wrong shape[\s\S]*got: \(28, 32\)[\s\S]*expected: \(28, 16\)"),
        ({"num_hidden_layers": 3}, r"tensor encoder.layer.2.attention.self.query.weight is missing"),
    ],
)
def test_config_that_does_not_fit(folder, changes, words):
    models.change_json(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problem_type": "regression"}, r"gives numbers, not classes[\s\S]*got: 3 outputs"),
        ({"problem_type": "other"}, "unknown problem_type"),
        ({"id2label": {"0": "a", "1": "b"}}, r"id2label does not fit the logits[\s\S]*keys 0 to 2"),
    ],
)
def test_head_that_does_not_fit(tmp_path, changes, words):
    folder = models.tiny_bert(tmp_path / "c", head="classifier")
    models.change_json(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_one_logit_is_a_rerankers_score(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="reranker")
    source = open_source(str(folder))
    assert (source.task, source.labels, source.output) == ("reranking", (), "logits")
    assert models.outputs(source, ["the cat"]).shape == (1, 1)


@pytest.mark.parametrize(
    ("head", "task", "words"),
    [
        ("reranker", "classification", r"gives one number, not classes[\s\S]*--task reranking"),
        ("classifier", "reranking", r"is no reranker[\s\S]*got: 3 outputs"),
        ("classifier", "token-classification", "has no head for token-classification"),
        ("tokens", "classification", "has no head for classification"),
        (None, "classification", "has no head for classification"),
        (None, "reranking", "has no head for reranking"),
    ],
)
def test_no_head_where_one_is_asked_for(tmp_path, head, task, words):
    folder = models.tiny_bert(tmp_path / "c", head=head)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder), SourceOptions(task=task))


def test_a_token_classifier_labels_every_token(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="tokens")
    source = open_source(str(folder))
    assert (source.task, source.labels) == ("token-classification", ("O", "B-x", "I-x"))
    hidden = models.outputs(open_source(str(folder), SourceOptions(task="embedding", pooling="cls")), ["the cat"])
    weights = load_file(folder / "model.safetensors")
    found = models.outputs(source, ["the cat"])
    assert found.shape == (1, 4, 3)
    expected = hidden @ weights["classifier.weight"].T + weights["classifier.bias"]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


def test_pooling_of_a_classifier_is_a_mistake(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="classifier")
    with pytest.raises(UsageError, match="do not apply: the model is a classifier"):
        open_source(str(folder), SourceOptions(pooling="cls"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(folder, value):
    bad = np.full(32, value, np.float32)
    change_weights(folder, **{f"{QUERY}.bias".replace(".", "__"): bad})
    with pytest.raises(NumericsError, match=rf"tensor {QUERY}.bias has 32 values that are NaN or infinite"):
        open_source(str(folder))


def test_weights_that_are_quantized_already(folder):
    change_weights(folder, **{f"{QUERY}.weight".replace(".", "__"): np.zeros((32, 32), np.int8)})
    with pytest.raises(ModelError, match=rf"tensor {QUERY}.weight is not float[\s\S]*got: I8"):
        open_source(str(folder))


def test_missing_tensor(folder):
    change_weights(folder, embeddings__LayerNorm__bias=None)
    with pytest.raises(ModelError, match=r"tensor embeddings.LayerNorm.bias is missing[\s\S]*where: .*model.safeten"):
        open_source(str(folder))


@pytest.mark.parametrize("keep", [0, 5, 4000])
def test_truncated_safetensors(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"cannot read weights[\s\S]*hint: the file is damaged or was cut off"):
        open_source(str(folder))


def test_no_tensors(folder):
    save_file({}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="the file holds no tensors"):
        open_source(str(folder))


def test_index_without_a_map(folder):
    (folder / "model.safetensors").unlink()
    models.write_json(folder / "model.safetensors.index.json", {"metadata": {}})
    with pytest.raises(ModelError, match="no weights found"):
        open_source(str(folder))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"model_type": "bert",\n  oops}', r"config.json is not valid JSON[\s\S]*line 2, column 3"),
        (b"[1, 2]", r"config.json is not a JSON object[\s\S]*got: list"),
        (b'{"a": "\xff"}', r"config.json is not UTF-8 text[\s\S]*byte 7"),
    ],
)
def test_bad_json(folder, content, words):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_config_that_is_a_string_of_json(folder):
    (folder / "config.json").write_text(json.dumps("bert"), encoding="utf-8")
    with pytest.raises(ModelError, match="is not a JSON object"):
        open_source(str(folder))
