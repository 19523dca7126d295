"""modules.json, 1_Pooling/config.json and their relatives."""

import numpy as np
import pytest

from tests import models
from toolkit.errors import ModelError
from toolkit.sources import SourceOptions, open_source

MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}


@pytest.fixture
def folder(tmp_path):
    return models.tiny_bert(tmp_path / "st")


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
        (MEAN | {"pooling_mode_cls_token": True}, r"unsupported pooling[\s\S]*got: cls \+ mean"),
        ({"pooling_mode_lasttoken": True}, r"unsupported pooling[\s\S]*got: pooling_mode_lasttoken"),
        ({"pooling_mode_mean_tokens": False}, r"unsupported pooling[\s\S]*got: none"),
        ({"pooling_mode_mean_tokens": 1}, r"no usable 'pooling_mode_mean_tokens'[\s\S]*true or false"),
    ],
)
def test_other_poolings_are_refused(folder, config, words):
    models.sentence_transformer(folder, config)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_dense_is_refused(folder):
    models.sentence_transformer(folder, MEAN)
    path = folder / "modules.json"
    path.write_text(path.read_text(encoding="utf-8").replace("models.Normalize", "models.Dense"), encoding="utf-8")
    with pytest.raises(ModelError, match=r"unsupported modules[\s\S]*got: Transformer, Pooling, Dense"):
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
