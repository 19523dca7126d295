"""Write the tiny checkpoints of tests/golden/families and what transformers computes from them.

Run it where torch and transformers are installed (4.57 and torch 2.13 wrote the committed files); the suite
needs neither: ``python tests/golden/make_families.py``. Each folder gets config.json and model.safetensors as
``save_pretrained`` writes them, and expected.npz: input_ids, attention_mask and token_type_ids of one padded
batch, and ``logits``, or ``cls``, ``mean`` and ``max`` over the token embeddings that are not padding.

Given the folder that ``../shared/models/assemble.py roberta-sst2`` wrote, it writes roberta_sst2.npz instead: the
logits of the first 100 rows of SST-2's dev set, with the real weights and the real tokenizer.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers as hf

HERE = Path(__file__).parent / "families"
VOCABULARY, LABELS = 60, 3
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 4}
SIZES |= {"num_hidden_layers": 2, "max_position_embeddings": 40, "num_labels": LABELS}
SHIFTED = SIZES | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5}
DISTIL = {"vocab_size": VOCABULARY, "dim": 16, "hidden_dim": 32, "n_heads": 4, "n_layers": 2, "num_labels": LABELS}
DISTIL |= {"max_position_embeddings": 40, "pad_token_id": 0}

# Name of the folder: the class, its configuration, and how many tokens it takes.
CASES = {
    "albert": (hf.AlbertModel, hf.AlbertConfig(**SIZES, embedding_size=16, inner_group_num=1), 40),
    "albert-classifier": (
        hf.AlbertForSequenceClassification,
        hf.AlbertConfig(**SIZES | {"num_hidden_layers": 4}, embedding_size=8, num_hidden_groups=2, inner_group_num=2),
        40,
    ),
    "bert-classifier": (
        hf.BertForSequenceClassification,
        hf.BertConfig(**SIZES, hidden_act="gelu_pytorch_tanh"),
        40,
    ),
    "camembert": (hf.CamembertModel, hf.CamembertConfig(**SHIFTED, type_vocab_size=1), 38),
    "distilbert": (hf.DistilBertModel, hf.DistilBertConfig(**DISTIL), 40),
    "distilbert-classifier": (
        hf.DistilBertForSequenceClassification,
        hf.DistilBertConfig(**DISTIL, activation="relu", sinusoidal_pos_embds=True),
        40,
    ),
    "electra": (hf.ElectraModel, hf.ElectraConfig(**SIZES, embedding_size=16), 40),
    "electra-classifier": (
        hf.ElectraForSequenceClassification,
        hf.ElectraConfig(**SIZES, embedding_size=8, hidden_act="relu"),
        40,
    ),
    "mpnet": (hf.MPNetModel, hf.MPNetConfig(**SHIFTED | {"max_position_embeddings": 162}), 160),
    "mpnet-classifier": (hf.MPNetForSequenceClassification, hf.MPNetConfig(**SHIFTED, hidden_act="gelu_new"), 38),
    "roberta": (hf.RobertaModel, hf.RobertaConfig(**SHIFTED, type_vocab_size=2), 38),
    "roberta-classifier": (
        hf.RobertaForSequenceClassification,
        hf.RobertaConfig(**SHIFTED, type_vocab_size=1),
        38,
    ),
    "xlm-roberta-classifier": (
        hf.XLMRobertaForSequenceClassification,
        hf.XLMRobertaConfig(**SHIFTED | {"pad_token_id": 3}, type_vocab_size=1),
        36,
    ),
}


def main() -> None:
    """Write all folders anew."""
    shutil.rmtree(HERE, ignore_errors=True)
    for seed, (name, (kind, config, most)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        model = kind(config).eval()
        for parameter_name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in parameter_name.lower() and parameter_name.endswith("weight") else 0.0
            torch.nn.init.normal_(parameter, centre, 0.1 if centre else 0.3)
        model.save_pretrained(HERE / name)
        batch = random_batch(np.random.default_rng(seed), most, config.pad_token_id)
        np.savez_compressed(HERE / name / "expected.npz", **batch, **expected(model, batch))


def random_batch(rng: np.random.Generator, most: int, padding: int) -> dict[str, np.ndarray]:
    """Return texts of 1 to ``most`` random tokens; the padding's id may stand inside a text, too."""
    lengths = np.array([most, 1, 2, most - 1, 9])
    mask = (np.arange(most) < lengths[:, None]).astype(np.int64)
    ids = np.where(mask == 1, rng.integers(0, VOCABULARY, mask.shape), padding)
    types = np.where(mask == 1, rng.integers(0, 2, mask.shape), 0)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@torch.no_grad()
def expected(model: torch.nn.Module, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the logits, or three poolings of the token embeddings."""
    typed = model.config.model_type in ("albert", "bert", "electra")
    feed = {k: torch.tensor(v) for k, v in batch.items() if typed or k != "token_type_ids"}
    result = model(**feed)
    if hasattr(result, "logits"):
        return {"logits": result.logits.numpy()}
    tokens, mask = result.last_hidden_state.numpy(), batch["attention_mask"][:, :, None]
    mean = (tokens * mask).sum(1) / mask.sum(1)
    highest = np.where(mask == 1, tokens, -np.inf).max(1)
    return {"cls": tokens[:, 0], "mean": mean.astype(np.float32), "max": highest.astype(np.float32)}


@torch.no_grad()
def real(folder: str) -> None:
    """Write the logits of a real RoBERTa."""
    lines = (HERE.parents[3] / "shared/data/sst2/sentiment-dev").read_text(encoding="utf-8").splitlines()[:100]
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [line.rpartition("\t")[0] for line in lines]
    batches = (tokenizer(texts[i : i + 20], padding=True, return_tensors="pt") for i in range(0, 100, 20))
    logits = np.concatenate([model(**batch).logits.numpy() for batch in batches])
    np.savez_compressed(HERE.parent / "roberta_sst2.npz", logits=logits)


if __name__ == "__main__":
    real(sys.argv[1]) if sys.argv[1:] else main()
