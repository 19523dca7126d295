import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import toolkit
from toolkit.isa.masked import masked, why_not_masked
from toolkit.isa.place import Place

ROOT = Path(toolkit.__file__).parent.parent

# The same examples everywhere, however slow the machine is.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(scope="session")
def xdg_cache(tmp_path_factory):
    """The user's cache folder of the tests: a masked onnxruntime takes seconds to make, and is made once."""
    return tmp_path_factory.mktemp("xdg")


@pytest.fixture(scope="session")
def here():
    """This interpreter, with nothing around it."""
    path = ":".join([str(ROOT), *filter(None, sys.path)])
    return Place("this", "native", (sys.executable,), {"PYTHONPATH": path, "PYTHONWARNINGS": "error"})


@pytest.fixture(scope="session")
def cache(xdg_cache):
    return xdg_cache / "edgequant"


@pytest.fixture(scope="session")
def avx2(cache):
    if reason := why_not_masked():
        pytest.skip(reason)
    return masked(cache)
