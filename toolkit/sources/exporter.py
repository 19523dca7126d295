"""Models from the hub, and models that the builder does not know, by optimum: the extra ``export``."""

import importlib.metadata
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import MissingExtraError, ModelError
from toolkit.hub import TIMEOUT_S, network_errors
from toolkit.runtime.manifest import Task
from toolkit.sources.writer import OPSET

_HINT = "pip install 'edgequant[export]' (install a CPU build of torch first, it is much smaller: docs/models.md)"
_TASKS: dict[Task, str] = {
    "embedding": "feature-extraction",
    "classification": "text-classification",
    "reranking": "text-classification",
    "token-classification": "token-classification",
    "text-generation": "text-generation-with-past",
}
_SMALL = ["*.json", "*.txt", "*.model", "*.jinja"]


def export(folder: Path, task: Task | None, out: Path) -> str:
    """Write ``folder``'s model as ONNX into ``out`` and return optimum's version.

    MissingExtraError without optimum; ModelError where optimum cannot.
    """
    try:
        from optimum.exporters.onnx import main_export  # noqa: PLC0415 - an extra; it loads torch
    except ImportError as error:
        what = f"a model of type {_model_type(folder)!r} has to be exported by optimum, which cannot be imported"
        raise MissingExtraError(what, where=folder, got=str(error), hint=_HINT) from error
    name = _TASKS[task or "embedding"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's remarks about the model's own source
            main_export(
                str(folder),
                output=out,
                task=name,
                opset=OPSET,
                device="cpu",
                library_name="transformers",
                do_validation=False,
            )
    except (
        ArithmeticError,
        AttributeError,
        ImportError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        hint = "see whether `optimum-cli export onnx` can export it, and give edgequant its output"
        raise ModelError(f"optimum cannot export the model: {error}", where=folder, hint=hint) from error
    return importlib.metadata.version("optimum-onnx")


def _model_type(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "unknown"))


@dataclass(frozen=True)
class Fetched:
    """A model of the hub in a folder of this machine, and which one it is: ``hub:ID@COMMIT``."""

    folder: Path
    origin: str


def download(hub_id: str, revision: str | None = None, *, cached: bool = False) -> Fetched:
    """Fetch a model from the Hugging Face hub into its cache, at a commit, branch or tag (None: the newest).

    Weights come as safetensors if the hub has them, else as ONNX, else as whatever torch saved. ``cached``, and the
    hub's own HF_HUB_OFFLINE, take what was fetched before and ask nobody. The library reads HF_TOKEN and HF_ENDPOINT.
    """
    try:
        import huggingface_hub as hub  # noqa: PLC0415 - an extra
        from huggingface_hub import constants  # noqa: PLC0415
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "models from the hub need huggingface-hub, which is not installed", hint=_HINT
        ) from error
    errors: tuple[type[Exception], ...] = (HfHubHTTPError, ValueError, *network_errors())
    offline = cached or bool(constants.HF_HUB_OFFLINE)
    try:
        patterns = None
        if not offline:
            info = hub.model_info(hub_id, revision=revision, timeout=TIMEOUT_S)
            patterns = [*_SMALL, *_weights([file.rfilename for file in info.siblings or ()])]
        # By the revision's own name: the cache notes then which commit it was, for those that ask it offline.
        folder = Path(
            hub.snapshot_download(hub_id, revision=revision, allow_patterns=patterns, local_files_only=offline)
        )
    except errors as error:
        got = str(error).strip().partition("\n")[0]
        where = hub_id if revision is None else f"{hub_id}, revision {revision}"
        if offline:
            what, hint = "the model was not fetched from the hub before", "fetch it where there is a network: "
            hint += "unset HF_HUB_OFFLINE; or give edgequant its folder"
        else:
            what = "cannot fetch the model from the hub"
            hint = "check the name and the network; set HF_TOKEN for a private model, HF_ENDPOINT for a mirror, "
            hint += "HF_HUB_OFFLINE=1 to take what was fetched before; or download the model elsewhere and give "
            hint += "edgequant its folder"
        raise ModelError(what, where=where, got=got, hint=hint) from error
    return Fetched(folder, f"hub:{hub_id}@{folder.name}")  # the cache names it by the commit


def _weights(names: list[str]) -> list[str]:
    if any(name.endswith(".safetensors") and "/" not in name for name in names):
        return ["*.safetensors"]
    if any(name in ("onnx/model.onnx", "model.onnx") for name in names):
        return ["onnx/model.onnx*", "model.onnx*"]
    return ["pytorch_model*.bin"]
