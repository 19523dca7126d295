"""Tiny models of random weights, by onnxruntime-genai's builder and optimum's export: `make llm` runs this.

Each is built, gives transformers' own logits, and is quantized, judged, bundled, verified and made to generate.
"""

import importlib.util
import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from toolkit.causal import CausalJob, quantize_causal, write_causal
from toolkit.causal.subject import source_subject
from toolkit.errors import ModelError
from toolkit.limits import TextGenerationGate
from toolkit.runtime import load, verify
from toolkit.samples import load_samples
from toolkit.sources import SourceOptions
from toolkit.sources.causal import open_causal
from toolkit.targets import load_recipe

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
NEW = (
    importlib.util.find_spec("optimum") is None
)  # optimum's export and the builder want other versions of transformers
SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
PHI3 = {"original_max_position_embeddings": 128}
FAMILIES = {
    "llama": ("Llama", {}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {}),
    "gemma2": ("Gemma2", {"query_pre_attn_scalar": 16, "sliding_window": 64}),
    "gemma3": ("Gemma3Text", {"query_pre_attn_scalar": 16, "sliding_window": 64}),
    "phi3": ("Phi3", PHI3),
}
TEXT = "Once upon a time, there was a small boat."


@pytest.fixture(scope="module")
def tokenizer():
    """Byte-level BPE of 320 tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(load_samples("tinystories", "calibration").texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=128,
        **dict(zip(("bos_token", "eos_token", "pad_token"), special, strict=True)),
    )


def write(folder, name, changes, tokenizer):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**(SIZES | changes), initializer_range=0.2)
    made = transformers.AutoModelForCausalLM.from_config(config).eval()
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return made


def go_on(folder, made, tmp_path):
    """Check a model from its folder to generated text."""
    source = open_causal(str(folder), SourceOptions(), tmp_path / "work")
    generator = source_subject(source).loaded(1)
    ids = generator.encode(TEXT)
    with torch.no_grad():
        expected = made(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(generator.logits(ids) - expected).max() < 1e-3 * np.abs(expected).max()
    recipe = load_recipe("x86-avx2")
    recipe = recipe.model_copy(
        update={"gate": recipe.gate.model_copy(update={"text_generation": TextGenerationGate()})}
    )
    calibration, evaluation = (load_samples("tinystories", role, limit=8) for role in ("calibration", "evaluation"))
    for bits in (8, 4):
        work = tmp_path / f"int{bits}"
        work.mkdir()
        quantized = quantize_causal(CausalJob(source, recipe, calibration, evaluation, work, bits, 2))
        found = {verdict.metric: verdict.int8 for verdict in quantized.report.verdicts}
        assert abs(found["perplexity_ratio"] - 1) < (0.02 if bits == 8 else 0.2)
        assert found["next_token_agreement"] > (0.9 if bits == 8 else 0.5)
        out = write_causal(quantized, tmp_path / f"bundle{bits}")
        report = verify(out)
        assert report.ok, report
        assert load(out, 1).greedy_ids(TEXT, 8)
        layers = json.loads((out / "quantization.json").read_text())["linear"]
        assert {item["precision"] for item in layers} == ({"int8"} if bits == 8 else {"int4", "int8"})
    return source


@pytest.mark.skipif(not NEW, reason="the builder wants a newer transformers than optimum's export")
@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_the_builder(family, tokenizer, tmp_path):
    name, changes = FAMILIES[family]
    made = write(tmp_path / family, name, changes, tokenizer)
    source = go_on(tmp_path / family, made, tmp_path)
    assert source.built_by.startswith("onnxruntime-genai 0.17")


@pytest.mark.skipif(not NEW, reason="the builder wants a newer transformers than optimum's export")
def test_what_the_builder_does_not_know(tokenizer, tmp_path):
    torch.manual_seed(0)
    config = transformers.BloomConfig(vocab_size=320, hidden_size=64, n_layer=1, n_head=4)
    transformers.BloomForCausalLM(config).save_pretrained(tmp_path / "bloom")
    tokenizer.save_pretrained(tmp_path / "bloom")
    with pytest.raises(ModelError, match="builder cannot build the model") as caught:
        open_causal(str(tmp_path / "bloom"), SourceOptions(), tmp_path / "work")
    assert "not currently supported" in str(caught.value)


@pytest.mark.skipif(NEW, reason="GPT-2 is exported by optimum, which is not installed here")
def test_gpt2_by_optimum(tokenizer, tmp_path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=320,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=128,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
    )
    made = transformers.GPT2LMHeadModel(config).eval()
    made.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    source = go_on(tmp_path / "gpt2", made, tmp_path)
    assert source.built_by.startswith("optimum ")
