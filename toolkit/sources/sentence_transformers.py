"""What follows the encoder in a sentence-transformers folder: modules.json and what it names."""

from dataclasses import dataclass

from toolkit.errors import ModelError
from toolkit.sources.files import Fields, Files, read_json
from toolkit.sources.source import Pooling
from toolkit.sources.weights import Array, Weights

# Pooling/config.json: one key per way, of which any number may be true; the order is that of models/Pooling.py.
_KEYS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
}
# The last part of Dense's activation_function: the operator, none for Identity.
_ACTIVATIONS = {"Identity": "", "Tanh": "Tanh", "ReLU": "Relu", "Sigmoid": "Sigmoid"}


@dataclass(frozen=True)
class Normalize:
    """x / ‖x‖₂."""


@dataclass(frozen=True, eq=False)
class Dense:
    """activation(x·Wᵀ + b) of a sentence embedding; ``activation`` is an operator, "" for none."""

    name: str
    weight: Array  # [out, in]
    bias: Array | None  # [out]
    activation: str


@dataclass(frozen=True)
class Modules:
    """What follows the encoder; ``transformer`` is the encoder's folder below the model's, often ""."""

    transformer: str
    pooling: tuple[Pooling, ...]  # the results of several are concatenated
    steps: tuple[Dense | Normalize, ...]


def read_modules(files: Files) -> Modules | None:
    """Read modules.json, None without one; ModelError where it asks for more than the fields say."""
    path = files.find("modules.json")
    if path is None:
        return None
    modules = _list(read_json(files.take(path)), str(path))
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or any(kind not in ("Dense", "Normalize") for kind in kinds[2:]):
        hint = "other layers are not supported; choose a model without"
        expected = "Transformer and Pooling, then any number of Dense and Normalize"
        raise ModelError("unsupported modules", where=path, got=", ".join(kinds), expected=expected, hint=hint)
    _refuse_prompt(files)
    steps = tuple(_dense(files, folder) if kind == "Dense" else Normalize() for kind, folder in modules[2:])
    return Modules(modules[0][1], _pooling(_config(files, modules[1][1], "pooling")), steps)


def _list(modules: object, where: str) -> list[tuple[str, str]]:
    """Return the last part of each module's type, and its folder, in order."""
    found: list[tuple[str, str]] = []
    for module in modules if isinstance(modules, list) else [None]:
        kind, path = (module.get(k) for k in ("type", "path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(path, str):
            raise ModelError("modules.json is not a list of modules", where=where, expected='"type" and "path" of each')
        found.append((kind.rpartition(".")[2], path))
    return found


def _config(files: Files, folder: str, what: str) -> Fields:
    name = f"{folder}/config.json".lstrip("/")
    fields = files.fields(name)
    if fields is None:
        raise ModelError(f"the {what} has no config.json", where=files.roots[0], expected=files.roots[0] / name)
    return fields


def _pooling(fields: Fields) -> tuple[Pooling, ...]:
    mode = fields.text("pooling_mode", "")
    keys = [key for key in fields.values if key.startswith("pooling_mode_") and fields.flag(key, default=False)]
    got = [mode] if mode else [_KEYS.get(key, key) for key in keys]
    ways = tuple(way for way in _KEYS.values() if way in got)
    if not ways or len(ways) != len(got):
        hint = "name one (--pooling) if that is what the model shall do"
        expected = "any of mean, cls, max"
        given = " + ".join(got) or "none"
        raise ModelError("unsupported pooling", where=fields.path, got=given, expected=expected, hint=hint)
    return ways


def _dense(files: Files, folder: str) -> Dense:
    fields = _config(files, folder, "Dense module")
    kind = fields.text("activation_function", "torch.nn.modules.activation.Tanh").rpartition(".")[2]
    if kind not in _ACTIVATIONS:
        got, expected = f"activation_function = {kind}", ", ".join(_ACTIVATIONS)
        raise ModelError("unsupported Dense module", where=fields.path, got=got, expected=expected)
    weights = Weights(files, "", f"{folder}/")
    size_out = fields.integer("out_features", minimum=1)
    weight = weights.take("linear.weight", (size_out, fields.integer("in_features", minimum=1)))
    bias = weights.take("linear.bias", (size_out,)) if fields.flag("bias", default=True) else None
    return Dense(folder, weight, bias, _ACTIVATIONS[kind])


def _refuse_prompt(files: Files) -> None:
    fields = files.fields("config_sentence_transformers.json")
    name = fields.text("default_prompt_name", "") if fields else ""
    if fields and name:
        hint = "set default_prompt_name to null there, and put the prompt before your texts yourself"
        raise ModelError("the model puts a prompt before every text", where=fields.path, got=name, hint=hint)
