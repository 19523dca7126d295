import logging
from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.tiny import LABELS, TEXTS, Parts
from toolkit.runtime import FallbackEmbedder, Skipped, cpu, load
from toolkit.runtime.bundle import load_opened
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.manifest import TargetInfo

pytestmark = pytest.mark.usefixtures("engine")


def test_the_first_that_loads_is_taken_and_nothing_is_logged_as_skipped(bundle, caplog):
    with caplog.at_level(logging.INFO, "toolkit.runtime.fallback"):
        found = FallbackEmbedder([bundle, "nowhere"])
    assert (found.name, found.bundle, found.dimension, found.skipped) == ("tiny", str(bundle), 4, ())
    assert caplog.messages == [f"embedder {bundle} is used: tiny, dimension 4"]
    np.testing.assert_array_equal(found.encode(list(TEXTS)), load(bundle).embed(TEXTS))


def skipped_for(path, good, caplog, **arguments):
    found = FallbackEmbedder([path, good], **arguments)
    assert found.bundle == str(good)
    assert caplog.messages == [f"embedder {path} is skipped: {found.skipped[0].reason}"]
    assert found.skipped[0].bundle == str(path)
    return found.skipped[0].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (LABELS, "it gives no embeddings; got: classification; expected: embedding"),
        ({"target": TargetInfo("t", "vax", ())}, f"it is for another CPU; got: vax; expected: {cpu.architecture()}"),
        ({"target": TargetInfo("t", cpu.architecture(), ("tpu",))}, "this CPU lacks tpu"),
    ],
)
def test_what_does_not_fit_here_is_skipped_with_its_reason(changes, reason, bundle, tmp_path, caplog):
    other = Parts(changes=dict(changes)).write(tmp_path / "other")
    assert skipped_for(other, bundle, caplog) == reason


def test_a_bundle_that_is_damaged_or_not_there_is_skipped(bundle, tmp_path, caplog):
    other = Parts().write(tmp_path / "other")
    (other / "model.onnx").unlink()
    assert "a file of the bundle is missing" in skipped_for(other, bundle, caplog)
    caplog.clear()
    assert skipped_for(tmp_path / "no", bundle, caplog).startswith("there is no such bundle")


def test_a_model_that_memory_is_too_small_for_is_skipped(bundle, tmp_path, caplog, monkeypatch):
    def full(opened, chosen):
        if opened.folder.name == "large":
            raise MemoryError("onnxruntime cannot load the model: Failed to allocate memory")
        return load_opened(opened, chosen)

    monkeypatch.setattr("toolkit.runtime.fallback.load_opened", full)
    large = Parts().write(tmp_path / "large")
    assert "Failed to allocate memory" in skipped_for(large, bundle, caplog)


def test_a_declared_dimension_is_kept_to(bundle):
    found = FallbackEmbedder([bundle], dimension=4)
    assert found.dimension == found.encode("a cat").shape[0] == 4
    with pytest.raises(BundleError, match=r"none of 1 embedding bundles can be used here\n.*another dimension; got: 4"):
        FallbackEmbedder([bundle], dimension=768)


def test_none_that_loads_is_an_error_with_every_reason(bundle):
    with pytest.raises(BundleError, match=r"none of 2 .*\n.*no such bundle.*\n.*other dimension"):
        FallbackEmbedder(["nowhere", bundle], dimension=5)
    for bad in ([], str(bundle), bundle):
        with pytest.raises(UsageError, match="not a list of folders"):
            FallbackEmbedder(bad)


def test_windows_are_normalized_as_the_manifest_says(tmp_path):
    folder = Parts(changes={"normalize": True}).write(tmp_path / "unit")
    assert FallbackEmbedder([folder]).normalized
    assert replace(Skipped("a", "b"), reason="c") == Skipped("a", "c")
