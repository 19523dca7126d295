import math

import pytest

from tests import models
from tests.graphs import serialized
from toolkit import speed
from toolkit.errors import BundleError
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.sources import open_source


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ModelInfo]:
    folder = tmp_path_factory.mktemp("models") / "bert"
    source = open_source(str(models.tiny_bert(folder, layers=1)))
    inputs = tuple(str(value.name) for value in source.model.graph.inputs)
    return serialized(source.model), ModelInfo("model.onnx", inputs, source.output, 32)


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "ROUNDS", 3)
    monkeypatch.setattr(speed, "ROUND_SECONDS", 0.002)


def test_every_shape_that_the_model_allows_is_timed(model):
    data, info = model
    told = []

    def track(items, what, total):
        told.append((what, total))
        return items

    found = speed.compare((data, data), info, SessionInfo(), 48, track)
    assert [(each.batch, each.length) for each in found] == [(1, 16), (1, 48), (8, 48)]
    for each in found:
        for number in (each.fp32_ms, each.int8_ms, each.ratio):
            assert math.isfinite(number)
            assert number > 0
    assert told == [("time fp32 and int8", 3)]


def test_a_model_that_cannot_be_loaded_is_refused(model):
    data, info = model
    with pytest.raises(BundleError, match="cannot load the model"):
        speed.compare((data, b"no model"), info, SessionInfo(), 48)
