"""From whatever the user has to a causal model that onnxruntime-genai runs."""

import json
import shutil
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from tests.runtime.lm import CONTEXT, PROMPT, TOLD, VOCABULARY, lm_parts
from tests.sources.test_llama2c import first_layout, parts, tokenizer_bin
from toolkit.causal.subject import source_subject
from toolkit.errors import MissingExtraError, ModelError, TokenizerError, UsageError
from toolkit.sources import SourceOptions, genai_builder, is_causal, open_source
from toolkit.sources.causal import open_causal

STORIES = Path(__file__).parents[1] / "golden" / "stories260k"
PLAIN = SourceOptions()


@pytest.fixture
def exported(tmp_path):
    """A folder as exporters write it: graph with a cache, config.json, tokenizer.json."""
    folder = tmp_path / "tiny-lm"
    folder.mkdir()
    for name in ("model.onnx", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes(lm_parts().files[name])
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_positions": CONTEXT, "n_head": 1}
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": 50256, "eos_token_id": 2}))
    return folder


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def reshape(folder, edit):
    path = folder / "model.onnx"
    model = onnx.load(path)
    edit(model.graph)
    onnx.save(model, path)


def test_what_generates_is_known_by_its_files(tmp_path, exported):
    assert is_causal(str(STORIES), PLAIN)
    assert is_causal(str(exported), PLAIN)
    assert not is_causal(str(exported), SourceOptions(task="embedding"))
    assert is_causal("some/hub-id", SourceOptions(task="text-generation"))
    assert not is_causal("some/hub-id", PLAIN)
    assert not is_causal("", PLAIN)
    change(exported, architectures=["BertModel"])
    assert not is_causal(str(exported), PLAIN)
    checkpoint = tmp_path / "stories.bin"
    checkpoint.write_bytes(b"")
    assert is_causal(str(checkpoint), PLAIN)


def test_a_folder_of_onnxruntime_genai_is_taken_as_it_is(tmp_path):
    source = open_causal(str(STORIES), PLAIN, tmp_path)
    assert (source.name, source.folder, source.built_by) == ("stories260k", STORIES, "onnxruntime-genai")
    assert (source.max_length, source.pad_id, source.cache, source.info.dimension) == (512, 0, (4, 16), 512)
    assert source.info.inputs[:2] == ("input_ids", "attention_mask")
    assert list(source.beside) == ["tokenizer_config.json"]
    assert not list(tmp_path.iterdir())
    shorter = open_causal(str(STORIES), SourceOptions(max_length=100, name="short"), tmp_path)
    assert (shorter.name, shorter.max_length) == ("short", 100)


def test_a_graph_with_a_cache_is_made_ready(tmp_path, exported):
    source = open_causal(str(exported), PLAIN, tmp_path / "work")
    assert (source.name, source.built_by, source.max_length, source.cache) == ("tiny-lm", "onnx file", CONTEXT, (1, 1))
    model = source.genai["model"]
    assert (model["type"], model["eos_token_id"], model["bos_token_id"]) == ("decoder", [2], 2)  # 50256 is no token
    assert model["decoder"]["inputs"]["past_key_names"] == "past.%d.key"
    found = source_subject(source).loaded(1)
    assert found.greedy_ids(PROMPT, 3) == [VOCABULARY[token] for token in TOLD[2:5]]
    by_file = open_causal(str(exported / "model.onnx"), PLAIN, tmp_path / "other")
    assert (by_file.name, by_file.digest) == ("tiny-lm", source.digest)


def test_weights_beside_the_graph_and_a_tokenizer_elsewhere_come_along(tmp_path, exported):
    model = ir.load(exported / "model.onnx")
    ir.save(model, exported / "model.onnx", external_data="model.onnx_data")
    (exported / "tokenizer.json").rename(tmp_path / "words.json")
    source = open_causal(str(exported), SourceOptions(tokenizer=tmp_path / "words.json"), tmp_path / "work")
    assert (source.folder / "model.onnx_data").is_file()
    assert source_subject(source).loaded(1).greedy_ids(PROMPT, 1) == [VOCABULARY[TOLD[2]]]


def drop_cache(graph):
    del graph.input[2:]


def add_input(graph):
    graph.input.append(onnx.helper.make_tensor_value_info("use_cache_branch", onnx.TensorProto.BOOL, [1]))


def rename_logits(graph):
    graph.output[0].name = "scores"
    graph.node[0].output[0] = "scores"


@pytest.mark.parametrize("edit", [drop_cache, add_input, rename_logits])
def test_what_the_loop_cannot_run_is_refused_in_words(tmp_path, exported, edit):
    reshape(exported, edit)
    with pytest.raises(ModelError, match="onnxruntime-genai cannot generate with this graph") as caught:
        open_causal(str(exported), PLAIN, tmp_path / "work")
    assert "text-generation-with-past" in str(caught.value)


def test_sizes_that_nobody_says(tmp_path, exported):
    change(exported, n_positions=None)
    with pytest.raises(ModelError, match="n_positions"):
        open_causal(str(exported), PLAIN, tmp_path / "work")
    config = json.loads((exported / "config.json").read_text())
    del config["n_positions"]
    (exported / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="the sizes of the model are not known"):
        open_causal(str(exported), PLAIN, tmp_path / "work")

    def open_shape(graph):
        graph.input[2].type.tensor_type.shape.dim[3].dim_param = "width"

    reshape(exported, open_shape)
    with pytest.raises(ModelError, match="the shape of the graph's cache is not known"):
        open_causal(str(exported), PLAIN, tmp_path / "work")


def test_what_is_missing_is_named(tmp_path, exported):
    with pytest.raises(UsageError, match="there is no such model"):
        open_causal(str(tmp_path / "nothing"), PLAIN, tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="a model is a folder"):
        open_causal(str(tmp_path / "notes.txt"), PLAIN, tmp_path)
    (exported / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"there is no tokenizer\.json"):
        open_causal(str(exported), PLAIN, tmp_path / "work")
    (exported / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        open_causal(str(exported), PLAIN, tmp_path / "work")
    (exported / "model.onnx").unlink()
    with pytest.raises(ModelError, match="the folder holds no causal model"):
        open_causal(str(exported), PLAIN, tmp_path / "work")


def test_a_causal_model_is_not_exported_as_another_in_silence(tmp_path):
    """As one of the hub's would be, whose files nobody has seen when the task is chosen."""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    with pytest.raises(UsageError, match="the model generates text") as caught:
        open_source(str(tmp_path))
    assert "--task text-generation" in str(caught.value)


def test_a_damaged_folder_of_onnxruntime_genai(tmp_path):
    folder = shutil.copytree(STORIES, tmp_path / "stories")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["one more"] = 512
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(TokenizerError, match="the tokenizer does not fit the model"):
        open_causal(str(folder), PLAIN, tmp_path)
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"the graph that genai_config\.json names is missing"):
        open_causal(str(folder), PLAIN, tmp_path)
    (folder / "genai_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"genai_config\.json has no usable 'model'"):
        open_causal(str(folder), PLAIN, tmp_path)


def test_a_checkpoint_needs_its_tokenizer_and_the_builder(tmp_path, monkeypatch):
    checkpoint = tmp_path / "stories.bin"
    checkpoint.write_bytes(first_layout(parts()))
    with pytest.raises(UsageError, match=r"a checkpoint of llama2\.c needs its tokenizer"):
        open_causal(str(checkpoint), PLAIN, tmp_path / "work")
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin())
    monkeypatch.setattr(genai_builder, "NEEDED", ("onnxruntime_genai", "no_such_torch"))
    with pytest.raises(MissingExtraError, match="no no_such_torch") as caught:
        open_causal(str(checkpoint), PLAIN, tmp_path / "work")
    assert "edgequant[llm-build]" in str(caught.value)


def test_what_the_builder_says_when_it_cannot(tmp_path, monkeypatch):
    monkeypatch.setattr(genai_builder, "NEEDED", ())
    refuse = "raise NotImplementedError('The model is not supported.')"
    monkeypatch.setattr(genai_builder, "_PROGRAM", ("-c", refuse))
    with pytest.raises(ModelError, match="builder cannot build the model") as caught:
        genai_builder.build(tmp_path, tmp_path / "out")
    assert "The model is not supported" in str(caught.value)
    monkeypatch.setattr(genai_builder, "_PROGRAM", ("-c", ""))
    with pytest.raises(ModelError, match="exit status 0"):
        genai_builder.build(tmp_path, tmp_path / "out")
