import numpy as np
import onnx_ir as ir
import pytest

from tests.graphs import lookup
from toolkit.errors import EdgequantError
from toolkit.isa.timing import Variant, cpu_seconds
from toolkit.runtime.manifest import SessionInfo

FEEDS = [{"ids": np.zeros((rows, 8), np.int64)} for rows in (1, 4)]


def variant(width):
    table, weight = np.ones((40, width), np.float32), np.ones((width, width), np.float32)
    return Variant(ir.to_proto(lookup(table, weight, None)).SerializeToString(), SessionInfo())


def test_each_model_is_timed_in_each_round_at_each_shape(here):
    seconds = cpu_seconds(here, [variant(8), variant(600)], FEEDS, rounds=2)
    assert seconds.shape == (2, 2, 2)
    assert (seconds > 0).all()


def test_a_model_that_does_not_load_fails_in_words(here):
    with pytest.raises(EdgequantError, match=r"failed(.*\n)*.*INVALID_PROTOBUF"):
        cpu_seconds(here, [Variant(b"no model", SessionInfo())], FEEDS)
