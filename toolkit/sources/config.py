"""The sizes and constants of an encoder, as the config.json of its family has them."""

from dataclasses import dataclass

from toolkit.errors import ModelError
from toolkit.sources.files import Fields

# hidden_act of config.json: the operator, and how Gelu approximates (transformers/activations.py).
ACTIVATIONS = {
    "gelu": ("Gelu", "none"),
    "gelu_python": ("Gelu", "none"),
    "gelu_new": ("Gelu", "tanh"),
    "gelu_fast": ("Gelu", "tanh"),
    "gelu_pytorch_tanh": ("Gelu", "tanh"),
    "relu": ("Relu", ""),
}


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes and constants of one encoder."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    activation: str
    epsilon: float
    width: int  # of the embeddings; where it is not ``hidden``, a linear layer leads from one to the other
    padding: int  # the padding's token id
    groups: int = 1  # ALBERT: the layers of one group share their weights,
    inner: int = 1  # and each layer is so many in a row


@dataclass(frozen=True)
class Keys:
    """What a family's config.json calls the sizes that not all families call alike; no ``width``: as hidden."""

    hidden: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    intermediate: str = "intermediate_size"
    activation: str = "hidden_act"
    width: str = ""
    default_padding: int = 0


def read_encoder_config(fields: Fields, keys: Keys) -> EncoderConfig:
    """Read config.json; ModelError where it asks for what the builder does not do."""
    kind = fields.text("position_embedding_type", "absolute")
    if kind != "absolute":
        raise unsupported(fields, "position_embedding_type", kind, "absolute")
    for name in ("is_decoder", "add_cross_attention"):
        if fields.flag(name, default=False):
            raise unsupported(fields, name, "true", "false: an encoder")
    activation = fields.text(keys.activation, "gelu")
    if activation not in ACTIVATIONS:
        raise unsupported(fields, keys.activation, activation, ", ".join(ACTIVATIONS))
    hidden = fields.integer(keys.hidden, minimum=1)
    config = EncoderConfig(
        hidden=hidden,
        layers=fields.integer(keys.layers, minimum=1),
        heads=fields.integer(keys.heads, minimum=1),
        intermediate=fields.integer(keys.intermediate, minimum=1),
        vocabulary=fields.integer("vocab_size", minimum=1),
        positions=fields.integer("max_position_embeddings", minimum=1),
        token_types=fields.integer("type_vocab_size", 2, minimum=1),
        activation=activation,
        epsilon=fields.number("layer_norm_eps", 1e-12),
        width=fields.integer(keys.width, minimum=1) if keys.width else hidden,
        padding=fields.integer("pad_token_id", keys.default_padding),
    )
    if config.hidden % config.heads:
        got = f"{config.hidden} and {config.heads}"
        raise ModelError(f"{keys.heads} does not divide {keys.hidden}", where=fields.path, got=got)
    return config


def unsupported(fields: Fields, key: str, got: object, expected: str) -> ModelError:
    """Return the error for a value of config.json that the builder does not know how to build."""
    hint = "export the model to ONNX (optimum-cli export onnx) and give edgequant that folder"
    return ModelError(f"{key} = {got} is not supported by the builder", where=fields.path, expected=expected, hint=hint)
