import pytest


@pytest.fixture(scope="session")
def xdg_cache(tmp_path_factory):
    """The user's cache folder of the tests: a masked onnxruntime takes seconds to make, and is made once."""
    return tmp_path_factory.mktemp("xdg")
