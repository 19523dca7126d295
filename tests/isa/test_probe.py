import numpy as np
import onnx
import pytest

from toolkit.errors import EdgequantError
from toolkit.isa.probe import all_probes, bounded_weights, judge, prove
from toolkit.isa.probe_model import Probe, probe_model
from toolkit.numerics.weights import pair_bound_holds
from toolkit.runtime import cpu

PROBES = all_probes()


def sums(kind):
    return np.concatenate([getattr(probe, kind)().reshape(-1) for probe in PROBES]).astype(np.float64)


def test_the_two_answers_of_the_saturation_probe():
    probe = Probe("p", "MatMulInteger", np.full((1, 64), 255), np.full((64, 1), 127), 0)
    assert probe.exact().tolist() == [[2072640]]
    assert probe.saturated().tolist() == [[1048544]]  # 32 pairs at 32767
    down = Probe("p", "MatMulInteger", np.full((1, 64), 255), np.full((64, 1), -127), 0)
    assert down.saturated().tolist() == [[32 * -32768]]


def test_the_zero_point_is_applied_after_the_sums():
    probe = Probe("p", "MatMulInteger", np.array([[255, 255, 7]]), np.array([[127], [127], [-3]]), 10)
    assert probe.exact().tolist() == [[245 * 254 + 9]]
    assert probe.saturated().tolist() == [[32767 - 21 - 10 * 251]]


def test_bounded_probes_are_exact_on_every_kernel_and_the_others_are_not():
    bounded = [probe for probe in PROBES if probe.name.startswith("bounded")]
    full = [probe for probe in PROBES if probe.name.startswith("full")]
    assert len(bounded) == len(full) == 120
    assert all(np.array_equal(probe.exact(), probe.saturated()) for probe in bounded)
    assert all(pair_bound_holds(probe.b.astype(np.int8)) for probe in bounded)
    assert sum(not np.array_equal(probe.exact(), probe.saturated()) for probe in full) > 50


def test_the_bound_is_reached_and_both_ends_of_the_range_occur():
    weights = bounded_weights(np.random.default_rng(0), 64, 200)
    assert np.abs(weights).max() == 127
    first, second = weights[0::2], weights[1::2]
    assert (np.abs(first + second) == 128).any()
    values = np.concatenate([probe.a.reshape(-1) for probe in PROBES])
    assert (values.min(), values.max()) == (0, 255)


def test_all_shapes_are_probed_in_both_forms():
    shapes = {(probe.form, probe.a.shape[1] % 4, probe.b.shape[1] % 2, len(probe.a) == 1) for probe in PROBES}
    assert len(shapes) == 2 * 4 * 2 * 2


def test_they_are_always_the_same_and_fit_float32():
    model = probe_model(PROBES)
    assert model == probe_model(all_probes())
    onnx.checker.check_model(onnx.ModelProto.FromString(model))
    assert np.abs(sums("exact")).max() < 2**24


@pytest.mark.parametrize(("kind", "saturates"), [("exact", False), ("saturated", True)])
def test_what_kernels_compute_is_told(kind, saturates):
    proof = judge(PROBES, sums(kind), "here")
    assert proof.saturates is saturates
    assert proof.saturation_sum == (1048544 if saturates else 2072640)
    assert str(proof).startswith("pairs of products " + ("saturate" if saturates else "are added exactly"))


@pytest.mark.parametrize("kind", ["exact", "saturated"])
@pytest.mark.parametrize("wrong", [1.0, np.nan])
def test_one_wrong_sum_is_found(kind, wrong):
    got = sums(kind)
    got[-1] += wrong
    with pytest.raises(EdgequantError, match=r"wrong sums\n  where: here, probe full range M=13 K=131 N=31: 1 of 403"):
        judge(PROBES, got, "here")


def test_neither_of_the_two():
    with pytest.raises(EdgequantError, match=r"probe saturation M=1: 17 of 17 sums\n  got: 0\n  expected: 1048544, or"):
        judge(PROBES, np.zeros(len(sums("exact"))), "here")


def test_this_cpu(here):
    have = cpu.features()
    saturates = cpu.architecture() == "x86_64" and "avx2" in have and "vnni" not in have
    assert prove(here).saturates is saturates
