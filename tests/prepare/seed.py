"""The models of the seed's app in folders: two with real weights, mpnet at its real size with random ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SHARED = Path(__file__).parents[3] / "shared"


def roberta(folder: Path) -> Path:
    """Assemble the fine-tuned RoBERTa of SST-2."""
    program = [sys.executable, str(SHARED / "models" / "assemble.py"), "roberta-sst2", str(folder)]
    subprocess.run(program, check=True, capture_output=True)
    return folder


def mpnet(folder: Path, seed: int = 0) -> Path:
    """Write all-mpnet-base-v2 with its own tokenizer, config and pooling, and random weights of its shapes."""
    shutil.copytree(SHARED / "data" / "tokenizers" / "all-mpnet-base-v2", folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    save_file(mpnet_weights(config, np.random.default_rng(seed)), folder / "model.safetensors")
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    return folder


def mpnet_weights(config: dict, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return random tensors, spread as MPNet's are before training."""
    size, inner = config["hidden_size"], config["intermediate_size"]
    made: dict[str, np.ndarray] = {}

    def table(name: str, rows: int, columns: int) -> None:
        made[f"{name}.weight"] = (random.standard_normal((rows, columns), np.float32)) * np.float32(0.02)

    def linear(name: str, rows: int, columns: int) -> None:
        table(name, rows, columns)
        made[f"{name}.bias"] = np.zeros(rows, np.float32)

    def norm(name: str) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = np.ones(size, np.float32), np.zeros(size, np.float32)

    table("embeddings.word_embeddings", config["vocab_size"], size)
    table("embeddings.position_embeddings", config["max_position_embeddings"], size)
    norm("embeddings.LayerNorm")
    table("encoder.relative_attention_bias", config["relative_attention_num_buckets"], config["num_attention_heads"])
    for layer in (f"encoder.layer.{number}" for number in range(config["num_hidden_layers"])):
        for part in "qkvo":
            linear(f"{layer}.attention.attn.{part}", size, size)
        norm(f"{layer}.attention.LayerNorm")
        linear(f"{layer}.intermediate.dense", inner, size)
        linear(f"{layer}.output.dense", size, inner)
        norm(f"{layer}.output.LayerNorm")
    linear("pooler.dense", size, size)
    return made
