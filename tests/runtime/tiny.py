"""A tiny real bundle: a word-level tokenizer and a graph that averages the word vectors of a text."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from toolkit.runtime import cpu
from toolkit.runtime.manifest import (
    SCHEMA,
    FileInfo,
    Golden,
    Manifest,
    ModelInfo,
    SessionInfo,
    TargetInfo,
    TokenizerInfo,
)
from toolkit.runtime.model import TextModel

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "sat", "ran", "on", "mat", "the"]
DIMENSION = 4
TEXTS = ("the cat sat on the mat", "a dog ran", "")


def tokenizer_json(special: bool = True, max_length: int | None = 3, pad: int | None = 7) -> str:
    """Truncation at 3 and padding to 7 are baked in, as real files do: the runtime must undo both."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = Whitespace()
    if special:
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    if max_length:
        tokenizer.enable_truncation(max_length)
    if pad:
        tokenizer.enable_padding(length=pad)
    return tokenizer.to_str()


def table(rows: int = len(WORDS)) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(rows, DIMENSION)).astype(np.float32)


def model_bytes(weights: np.ndarray | None = None, inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> bytes:
    """output[b] = mean of weights[ids[b, s]] where the mask is 1; token types, if asked for, are added."""
    weights = table() if weights is None else weights
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["vectors", "mask3"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask3", "one"], ["count"], keepdims=0),
        helper.make_node("Max", ["count", "least"], ["divisor"]),
        helper.make_node("Div", ["sum", "divisor"], ["mean"]),
    ]
    if "token_type_ids" in inputs:
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["types", "one"], ["types2"], keepdims=1),
            helper.make_node("Add", ["mean", "types2"], ["output"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["mean"], ["output"]))
    constants = {
        "weights": weights,
        "last": np.array([2], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "least": np.array([1], dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


MODEL_INFO = ModelInfo("model.onnx", ("input_ids", "attention_mask"), "output", DIMENSION)
TOKENIZER_INFO = TokenizerInfo("tokenizer.json", 16, 0)


def text_model(
    model: bytes | None = None, tokenizer: str | None = None, info: ModelInfo = MODEL_INFO, **settings: object
) -> TextModel:
    tokenizer_info = settings.pop("tokenizer_info", TOKENIZER_INFO)
    return TextModel(
        model or model_bytes(),
        tokenizer or tokenizer_json(),
        info,
        tokenizer_info,
        SessionInfo(**settings),
        1,
    )


def make_manifest(files: dict[str, bytes], outputs: np.ndarray, **changes: object) -> Manifest:
    manifest = Manifest(
        schema=SCHEMA,
        name="tiny",
        task="embedding",
        model=MODEL_INFO,
        tokenizer=TOKENIZER_INFO,
        pooling="mean",
        normalize=False,
        labels=(),
        multi_label=False,
        target=TargetInfo("test", cpu.architecture(), ()),
        session=SessionInfo(),
        provenance={"licence": "Apache-2.0", "versions": {"numpy": "2"}},
        gate={"passed": True},
        golden=Golden(TEXTS, (), tuple(map(tuple, outputs.tolist())), 0.9999, 1e-5),
        files={name: FileInfo(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()},
    )
    return replace(manifest, **changes)


@dataclass
class Parts:
    """What a bundle is made of, to be changed by a test before it is written."""

    files: dict[str, bytes] = field(
        default_factory=lambda: {"model.onnx": model_bytes(), "tokenizer.json": tokenizer_json().encode()}
    )
    changes: dict[str, object] = field(default_factory=dict)

    def manifest(self) -> Manifest:
        return make_manifest(self.files, text_model().run(TEXTS), **self.changes)

    def write(self, folder: Path) -> Path:
        folder.mkdir()
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        (folder / "manifest.json").write_bytes(self.manifest().to_json())
        return folder


LABELS = {"task": "classification", "pooling": None, "labels": ("joy", "anger", "fear", "none")}
