"""Tiny random models on disk, and running a source: shared by the tests of several stages."""

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from toolkit.paths import data_folder
from toolkit.runtime.tokenization import Encoded
from toolkit.sources import Source, SourceOptions, open_source

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "red",
    "blue",
    "big",
    "small",
    "very",
    "not",
    "and",
    "is",
    "was",
    "good",
    "bad",
]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ing"]
TEXTS = [
    "the cat sat on the mat",
    "dog",
    "a very big red dog ran under the blue tree and was good",
    "not bad",
]

Head = Literal["classifier", "multi_label", "reranker", "tokens"]


def tiny_bert(folder: Path, *, head: Head | None = None, seed: int = 0, layers: int = 2, hidden: int = 32) -> Path:
    """Write a random BERT (4 heads, 28 tokens, 64 positions) as a folder; heads have 3 labels, a reranker 1."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {
        "architectures": [
            f"BertFor{'Token' if head == 'tokens' else 'Sequence'}Classification" if head else "BertModel"
        ],
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 64,
        "model_type": "bert",
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY),
    }
    if head:
        config["id2label"] = {"0": "calm", "1": "glad", "2": "sad"}
    if head == "reranker":
        config["id2label"] = {"0": "score"}
    if head == "tokens":
        config["id2label"] = {"0": "O", "1": "B-x", "2": "I-x"}
    if head == "multi_label":
        config["problem_type"] = "multi_label_classification"
    write_json(folder / "config.json", config)
    save_file(tiny_weights(head, seed, layers, hidden), folder / "model.safetensors")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 48})
    return folder


def tiny_weights(head: Head | None, seed: int, layers: int, hidden: int) -> dict[str, np.ndarray]:
    """Return the tensors of ``tiny_bert``, under the names of a checkpoint with or without a head."""
    rng = np.random.default_rng(seed)
    prefix = "bert." if head else ""
    weights: dict[str, np.ndarray] = {}

    def linear(name: str, size_in: int, size_out: int) -> None:
        weights[f"{name}.weight"] = rng.normal(0, 0.2, (size_out, size_in)).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.1, size_out).astype(np.float32)

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = rng.normal(1, 0.1, hidden).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.1, hidden).astype(np.float32)

    for table, rows in (("word", len(VOCABULARY)), ("position", 64), ("token_type", 2)):
        weights[f"{prefix}embeddings.{table}_embeddings.weight"] = rng.normal(0, 1, (rows, hidden)).astype(np.float32)
    norm(f"{prefix}embeddings.LayerNorm")
    for number in range(layers):
        layer = f"{prefix}encoder.layer.{number}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", hidden, 2 * hidden)
        linear(f"{layer}.output.dense", 2 * hidden, hidden)
        norm(f"{layer}.output.LayerNorm")
    if head:
        linear("bert.pooler.dense", hidden, hidden)
        linear("classifier", hidden, 1 if head == "reranker" else 3)
    return weights


def tiny_tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer of 28 tokens with truncation and padding baked in, as published ones."""
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(VOCABULARY)}, unk_token=VOCABULARY[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(VOCABULARY[:5])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    return tokenizer


def sentence_transformer(folder: Path, pooling: dict[str, object], *, normalize: bool = True) -> Path:
    """Add modules.json and the like of sentence-transformers to a folder."""
    kinds = {"Transformer": "", "Pooling": "1_Pooling"} | ({"Normalize": "2_Normalize"} if normalize else {})
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds.items())
    ]
    write_json(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32} | pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    return folder


def write_json(path: Path, value: object) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")


def change_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON object; a value None takes the key out."""
    fields = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: value for key, value in fields.items() if value is not None})


def as_encoded(token_ids: list[list[int]]) -> list[Encoded]:
    """Return token ids as what the tokenizer gives for single texts."""
    return [Encoded(ids, [0] * len(ids)) for ids in token_ids]


def session(source: Source) -> ort.InferenceSession:
    """Return the source's graph, loaded."""
    return ort.InferenceSession(ir.to_proto(source.model).SerializeToString(), providers=["CPUExecutionProvider"])


def feed(source: Source, texts: list[str], length: int = 0) -> dict[str, np.ndarray]:
    """Return the inputs that the source's graph has, padded to the longest text or to ``length``."""
    ids = [encoding.ids for encoding in Tokenizer.from_str(source.tokenizer_json).encode_batch(texts)]
    shape = (len(ids), max(length, *map(len, ids)))
    batch = {str(value.name): np.zeros(shape, np.int64) for value in source.model.graph.inputs}
    batch["input_ids"][:] = source.pad_id
    for row, text in enumerate(ids):
        batch["input_ids"][row, : len(text)] = text
        batch["attention_mask"][row, : len(text)] = 1
    return batch


def outputs(source: Source, texts: list[str], length: int = 0) -> np.ndarray:
    """Return what the source's graph gives for a batch of texts."""
    return np.asarray(session(source).run([source.output], feed(source, texts, length))[0])


def tiny_tokenizer_of(pad_id: int) -> Tokenizer:
    """Return the tiny tokenizer with the padding token moved to another place below 5, as RoBERTa's is at 1."""
    order = [*VOCABULARY[1 : pad_id + 1], VOCABULARY[0], *VOCABULARY[pad_id + 1 :]]
    tokenizer = json.loads(tiny_tokenizer().to_str())
    places = {word: place for place, word in enumerate(order)}
    tokenizer["model"]["vocab"] = places
    tokenizer["padding"]["pad_id"] = pad_id
    for token in tokenizer["added_tokens"]:
        token["id"] = places[token["content"]]
    for token in tokenizer["post_processor"]["special_tokens"].values():
        token["ids"] = [places[token["id"]]]
    return Tokenizer.from_str(json.dumps(tokenizer))


POOLER_SCALE = np.float32(0.05)


def sentiment_probe(folder: Path, demo: Path) -> Path:
    """Write a classifier of real weights: ``demo``'s encoder, and a head fitted to the calibration rows' labels.

    The pooler is a small multiple of the identity, where tanh is all but linear; the classifier is ridge regression
    on what it gives for the first token. No row of the evaluation set is looked at.
    """
    with (data_folder("calibration") / "vader-sentiment" / "calibration.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        rows = list(csv.DictReader(file))
    source = open_source(str(demo), SourceOptions(pooling="cls", normalize=False))
    texts = [row["text"] for row in rows]
    pooled = np.tanh(POOLER_SCALE * _first_tokens(source, texts))
    classifier, bias = _ridge(pooled, np.array([1.0 if row["label"] == "positive" else -1.0 for row in rows]))
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"bert.{name}": tensor for name, tensor in load_file(demo / "model.safetensors").items()}
    width = pooled.shape[1]
    weights |= {
        "bert.pooler.dense.weight": POOLER_SCALE * np.eye(width, dtype=np.float32),
        "bert.pooler.dense.bias": np.zeros(width, np.float32),
        "classifier.weight": np.stack([-classifier, classifier]).astype(np.float32),
        "classifier.bias": np.array([-bias, bias], np.float32),
    }
    save_file(weights, folder / "model.safetensors")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(demo / name, folder / name)
    labels = {"0": "negative", "1": "positive"}
    change_json(folder / "config.json", architectures=["BertForSequenceClassification"], id2label=labels, label2id=None)
    return folder


def with_outliers(folder: Path, demo: Path, layers: Iterable[int], factor: float = 50.0) -> Path:
    """Write ``demo`` with one channel of each attention head ``factor`` times as large in some layers.

    A value channel i becomes v_i + factor * v_j of its neighbour, and the output's weights take it away again: the
    function is preserved. Unlike a channel that is scaled, this is not undone by smoothing.
    """
    shutil.copytree(demo, folder)
    found = load_file(demo / "model.safetensors")
    heads = json.loads((demo / "config.json").read_text(encoding="utf-8"))["num_attention_heads"]
    for layer in layers:
        names = [f"encoder.layer.{layer}.attention.{part}" for part in ("self.value", "output.dense")]
        value, bias, output = found[f"{names[0]}.weight"], found[f"{names[0]}.bias"], found[f"{names[1]}.weight"]
        for i in range(0, len(value), len(value) // heads):
            value[i] += factor * value[i + 1]
            bias[i] += factor * bias[i + 1]
            output[:, i + 1] -= factor * output[:, i]
    save_file(found, folder / "model.safetensors")
    return folder


def _first_tokens(source: Source, texts: list[str]) -> np.ndarray:
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    run = session(source)
    parts = [order[start : start + 16] for start in range(0, len(order), 16)]
    found = [run.run([source.output], feed(source, [texts[place] for place in part]))[0] for part in parts]
    back = np.argsort(order)
    return np.asarray(np.concatenate(found)[back], np.float32)


def _ridge(features: np.ndarray, targets: np.ndarray, strength: float = 1.0) -> tuple[np.ndarray, float]:
    """Return weights [K] and bias of ridge regression of targets [N] on features [N, K], features centred."""
    mean, centre = features.mean(0, dtype=np.float64), targets.mean()
    x = features - mean
    weights = np.linalg.solve(x.T @ x + strength * len(x) * x.var() * np.eye(x.shape[1]), x.T @ (targets - centre))
    return weights, float(centre - mean @ weights)
