"""Causal language models from a Hugging Face folder by onnxruntime-genai's builder: the extra ``llm-build``."""

import importlib.util
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from toolkit.errors import MissingExtraError, ModelError

HINT = "pip install 'edgequant[llm-build]' (install a CPU build of torch first, it is much smaller: docs/llm.md)"
NEEDED = ("onnxruntime_genai", "torch", "transformers")
SETTINGS = ("HF_HUB_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1", "ORT_DISABLE_TELEMETRY=1")
_PROGRAM = ("-m", "toolkit.sources.genai_main")


def build(folder: Path, out: Path) -> str:
    """Write ``folder``'s model with float weights into ``out`` as onnxruntime-genai runs it; return who built it.

    In a process of its own: torch and what it holds are gone afterwards. MissingExtraError without the extra,
    ModelError where the builder cannot.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        what = "a causal model is built by onnxruntime-genai's builder, which needs more packages"
        raise MissingExtraError(what, where=folder, got=f"no {', '.join(missing)}", hint=HINT)
    arguments = ["-i", str(folder.resolve()), "-o", str(out), "-p", "fp32", "-e", "cpu", "-c", str(out / "cache")]
    arguments += ["--extra_options", "windowed_kv_cache=false"]  # with it, a loop of fewer tokens than the window fails
    done = subprocess.run(
        ["env", *SETTINGS, sys.executable, *_PROGRAM, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not (out / "genai_config.json").is_file():
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        hint = "a folder that its builder wrote, or an ONNX graph with a cache, can be given too: docs/llm.md"
        got = said[-1][:500] if said else f"exit status {done.returncode}"
        raise ModelError("onnxruntime-genai's builder cannot build the model", where=folder, got=got, hint=hint)
    return f"onnxruntime-genai {version('onnxruntime-genai')}"
