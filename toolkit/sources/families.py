"""The model families whose checkpoints the builder reads, by config.json's model_type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from toolkit.sources import albert, bert, distilbert, electra, mpnet, roberta
from toolkit.sources.config import EncoderConfig, Keys, read_encoder_config
from toolkit.sources.encoder import EncoderBuilder
from toolkit.sources.files import Fields
from toolkit.sources.sequence_head import HeadNames

_TEXT = ("input_ids", "attention_mask")
_TYPED = (*_TEXT, "token_type_ids")


@dataclass(frozen=True)
class Family:
    """How the checkpoints of one model_type are read.

    ``prefix`` stands before the names of the encoder's tensors in a checkpoint that has a head.
    """

    prefix: str
    inputs: tuple[str, ...]
    config: Callable[[Fields], EncoderConfig]
    encoder: Callable[[EncoderBuilder, Mapping[str, ir.Value]], ir.Value]
    head: HeadNames


def _bert_config(fields: Fields) -> EncoderConfig:
    return read_encoder_config(fields, Keys())


def _roberta_config(fields: Fields) -> EncoderConfig:
    return read_encoder_config(fields, Keys(default_padding=1))


_BERT_HEAD = HeadNames("pooler.dense", "Tanh", "classifier")
_ROBERTA_HEAD = HeadNames("classifier.dense", "Tanh", "classifier.out_proj")
_DISTILBERT_HEAD = HeadNames("pre_classifier", "Relu", "classifier")
_ELECTRA_HEAD = HeadNames("classifier.dense", "Gelu", "classifier.out_proj")
_ALBERT_HEAD = HeadNames("pooler", "Tanh", "classifier")
_ROBERTA = Family("roberta.", _TEXT, _roberta_config, roberta.build_encoder, _ROBERTA_HEAD)

FAMILIES = {
    "albert": Family("albert.", _TYPED, albert.read_config, albert.build_encoder, _ALBERT_HEAD),
    "bert": Family("bert.", _TYPED, _bert_config, bert.build_encoder, _BERT_HEAD),
    "camembert": _ROBERTA,
    "distilbert": Family("distilbert.", _TEXT, distilbert.read_config, distilbert.build_encoder, _DISTILBERT_HEAD),
    "electra": Family("electra.", _TYPED, electra.read_config, electra.build_encoder, _ELECTRA_HEAD),
    "mpnet": Family("mpnet.", _TEXT, mpnet.read_config, mpnet.build_encoder, _ROBERTA_HEAD),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
