"""One pair of keys and a few small kits for all tests of kits."""

import pytest

from tests.kit import Made, make, require_host


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Keys and kits."""
    require_host()
    return make(tmp_path_factory.mktemp("kits"))
