import sys
from pathlib import Path

import pytest

import toolkit
from toolkit.isa.place import Place

ROOT = Path(toolkit.__file__).parent.parent


@pytest.fixture(scope="session")
def here():
    """This interpreter, with nothing around it."""
    path = ":".join([str(ROOT), *filter(None, sys.path)])
    return Place("this", "native", (sys.executable,), {"PYTHONPATH": path, "PYTHONWARNINGS": "error"})
