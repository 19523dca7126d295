"""Pooling and normalization as a sentence-transformers folder has them: modules.json and what it names."""

from dataclasses import dataclass
from typing import get_args

from toolkit.errors import ModelError
from toolkit.sources.files import Fields, Files, read_json
from toolkit.sources.source import Pooling

# Pooling/config.json: one key per way, of which any number may be true.
_KEYS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}


@dataclass(frozen=True)
class Modules:
    """What follows the encoder; ``transformer`` is the encoder's folder below the model's, often ""."""

    transformer: str
    pooling: Pooling
    normalize: bool


def read_modules(files: Files) -> Modules | None:
    """Read modules.json, None without one; ModelError where it asks for more than the fields say."""
    path = files.find("modules.json")
    if path is None:
        return None
    kinds = _kinds(read_json(files.take(path)), str(path))
    allowed = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
    if list(kinds) not in allowed:
        hint = "Dense and other layers after the pooling are not supported; choose a model without"
        expected = "Transformer, Pooling and perhaps Normalize"
        raise ModelError("unsupported modules", where=path, got=", ".join(kinds), expected=expected, hint=hint)
    _refuse_prompt(files)
    name = f"{kinds['Pooling']}/config.json".lstrip("/")
    pooling = files.fields(name)
    if pooling is None:
        raise ModelError("the pooling has no config.json", where=path, expected=files.roots[0] / name)
    return Modules(kinds["Transformer"], _pooling(pooling), "Normalize" in kinds)


def _kinds(modules: object, where: str) -> dict[str, str]:
    """Return the folder of each module by the last part of its type, in order."""
    kinds: dict[str, str] = {}
    for module in modules if isinstance(modules, list) else [None]:
        kind, path = (module.get(k) for k in ("type", "path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(path, str):
            raise ModelError("modules.json is not a list of modules", where=where, expected='"type" and "path" of each')
        name = kind.rpartition(".")[2]
        kinds[f"second {name}" if name in kinds else name] = path
    return kinds


def _pooling(fields: Fields) -> Pooling:
    mode = fields.text("pooling_mode", "")
    if mode:
        ways = [mode]
    else:
        ways = [key for key in fields.values if key.startswith("pooling_mode_") and fields.flag(key, default=False)]
        ways = [_KEYS.get(way, way) for way in ways]
    for way in get_args(Pooling):
        if ways == [way]:
            return way  # type: ignore[no-any-return]
    got = " + ".join(ways) or "none"
    hint = "a combination of several poolings, or one of another kind, has no short form: name one (--pooling)"
    raise ModelError("unsupported pooling", where=fields.path, got=got, expected="one of mean, cls, max", hint=hint)


def _refuse_prompt(files: Files) -> None:
    fields = files.fields("config_sentence_transformers.json")
    name = fields.text("default_prompt_name", "") if fields else ""
    if fields and name:
        hint = "set default_prompt_name to null there, and put the prompt before your texts yourself"
        raise ModelError("the model puts a prompt before every text", where=fields.path, got=name, hint=hint)
