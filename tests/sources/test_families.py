"""Every family that the builder knows against transformers: the golden files of tests/golden/make_families.py."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from safetensors.numpy import load_file, save_file

from tests import models
from toolkit.errors import ModelError
from toolkit.sources import SourceOptions, open_source
from toolkit.sources.families import FAMILIES
from toolkit.sources.files import read_json
from toolkit.sources.mpnet import distance_buckets

GOLDEN = Path(__file__).parent.parent / "golden" / "families"
NAMES = sorted(path.name for path in GOLDEN.iterdir())
# As in BERT's graph, whatever the checkpoint calls them: recipes and reports go by these names.
LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


@pytest.fixture
def model(tmp_path):
    """Return a function that completes a golden folder with a tokenizer."""

    def complete(name):
        folder = tmp_path / name
        shutil.copytree(GOLDEN / name, folder)
        pad_id = read_json(folder / "config.json")["pad_token_id"]
        models.tiny_tokenizer_of(pad_id).save(str(folder / "tokenizer.json"))
        models.write_json(folder / "tokenizer_config.json", {"pad_token": "[PAD]"})
        return folder

    return complete


def run(source, batch):
    session = models.session(source)
    return session.run(None, {value.name: batch[value.name] for value in session.get_inputs()})[0]


@pytest.mark.parametrize("name", NAMES)
def test_parity_with_transformers(model, name):
    folder, golden = model(name), np.load(GOLDEN / name / "expected.npz")
    for output in set(golden) & {"logits", "cls", "mean", "max"}:
        source = open_source(str(folder), SourceOptions(pooling=None if output == "logits" else output))
        assert source.built_by == "edgequant"
        assert source.max_length == golden["input_ids"].shape[1]
        onnx.checker.check_model(ir.to_proto(source.model))
        np.testing.assert_allclose(run(source, golden), golden[output], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(model, name):
    golden = np.load(GOLDEN / name / "expected.npz")
    source = open_source(str(model(name)))
    together = run(source, golden)
    for row, length in enumerate(golden["attention_mask"].sum(1)):
        alone = {key: golden[key][row : row + 1, :length] for key in ("input_ids", "attention_mask", "token_type_ids")}
        np.testing.assert_allclose(run(source, alone)[0], together[row], rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_bert(model, name):
    graph = open_source(str(model(name))).model.graph
    nodes = [str(node.name) for node in graph]
    assert len(set(nodes)) == len(nodes)
    layers = 8 if name == "albert-classifier" else 2
    linears = {node.removesuffix("/MatMul") for node in nodes if node.endswith("/MatMul")}
    expected = {f"encoder.layer.{number}.{part}" for number in range(layers) for part in LAYER}
    activations = {
        f"encoder.layer.{number}.attention.self.{x}" for number in range(layers) for x in ("scores", "context")
    }
    head = {"pooler.dense", "classifier"} if name.endswith("classifier") else set()
    narrow = {"embeddings_project"} if name.startswith("albert") or name == "electra-classifier" else set()
    assert linears == expected | activations | head | narrow


def test_every_family_has_a_golden_file():
    kinds = {read_json(GOLDEN / name / "config.json")["model_type"] for name in NAMES}
    # BERT's encoder has test_checkpoint.py and test_parity.py.
    assert kinds == set(FAMILIES)


def test_shared_layers_are_stored_once(model):
    folder = model("albert-classifier")
    graph = open_source(str(folder)).model.graph
    weights = load_file(folder / "model.safetensors")
    stored = sum(v.const_value.size for v in graph.initializers.values() if v.dtype == ir.DataType.FLOAT)
    assert stored == sum(w.size for w in weights.values()) + 2  # the two scalars of the mask


def test_one_row_of_token_types_is_in_the_positions(model):
    source = open_source(str(model("roberta-classifier")))
    assert [value.name for value in source.model.graph.inputs] == ["input_ids", "attention_mask"]
    assert source.model.graph.initializers["embeddings.position_embeddings.weight"].shape[0] == 39
    assert not any("token_type" in name for name in source.model.graph.initializers)


def test_a_row_of_padding_alone_stays_finite(model):
    golden = dict(np.load(GOLDEN / "mpnet" / "expected.npz"))
    golden["attention_mask"][1], golden["input_ids"][1] = 0, 1
    assert np.isfinite(run(open_source(str(model("mpnet"))), golden)).all()


def test_buckets_of_distances():
    """Where the bucket changes, as transformers computes it in float32 with torch."""
    steps = distance_buckets(-np.arange(600))
    assert np.flatnonzero(np.diff(steps)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 11, 15, 22, 31, 45, 63, 90]
    assert steps.max() == 15
    np.testing.assert_array_equal(distance_buckets(np.arange(1, 600)), steps[1:] + 16)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("roberta", {"position_embedding_type": "relative_key_query"}, "position_embedding_type = relative_key_query"),
        ("roberta", {"hidden_act": "silu"}, "hidden_act = silu is not supported"),
        ("roberta", {"architectures": ["RobertaForMultipleChoice"]}, "unsupported kind of model"),
        ("roberta", {"type_vocab_size": 1}, r"token_type_embeddings.weight has the wrong shape"),
        ("distilbert", {"activation": "silu"}, "activation = silu is not supported"),
        ("distilbert", {"dim": None}, "no usable 'dim'"),
        ("distilbert", {"n_heads": 5}, "n_heads does not divide dim"),
        ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets = 64 is not supported"),
        ("mpnet", {"pad_token_id": 0}, "pad_token_id = 0 is not supported"),
        ("electra", {"embedding_size": 8}, r"word_embeddings.weight has the wrong shape[\s\S]*expected: \(60, 8\)"),
        ("albert", {"embedding_size": None}, "no usable 'embedding_size'"),
        ("albert", {"num_hidden_groups": 3}, r"num_hidden_groups = 3 is not supported[\s\S]*at most num_hidden_layers"),
        (
            "albert",
            {"num_hidden_groups": 2},
            r"albert_layer_groups.1.albert_layers.0.attention.query.weight is missing",
        ),
    ],
)
def test_config_that_does_not_fit(model, name, changes, words):
    folder = model(name)
    models.change_json(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_one_logit_is_a_rerankers_score(model):
    folder = model("roberta-classifier")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.out_proj.weight"] = weights["classifier.out_proj.weight"][:1].copy()
    weights["classifier.out_proj.bias"] = weights["classifier.out_proj.bias"][:1].copy()
    save_file(weights, folder / "model.safetensors")
    assert open_source(str(folder)).task == "reranking"
