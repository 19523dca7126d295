"""Where the recipes and the shipped data sets lie: inside an installed package, or at the top of a checkout."""

from pathlib import Path


def data_folder(name: str) -> Path:
    """Return the folder ``targets`` or ``calibration``."""
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
