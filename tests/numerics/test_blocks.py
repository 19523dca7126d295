import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.numerics.blocks import quantize_blocks

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


def random(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


@pytest.mark.parametrize(("rows", "size"), [(64, 32), (40, 16), (5, 32), (1, 16)])
def test_eight_bits_are_symmetric_and_half_a_step_away_at_most(rows, size):
    weight = random(rows, 7)
    blocks = quantize_blocks(weight, 8, size)
    assert blocks.codes.shape == weight.shape
    assert blocks.scales.shape == blocks.zeros.shape == (-(-rows // size), 7)
    assert (blocks.zeros == 128).all()
    assert (np.abs(blocks.real() - weight) <= 0.5001 * np.repeat(blocks.scales, size, axis=0)[:rows]).all()


def test_four_bits_shrink_the_range_where_that_is_nearer():
    weight = np.full((32, 1), 0.1, np.float32) + random(32, 1) * 0.01
    weight[0] = 1
    blocks = quantize_blocks(weight, 4, 32)
    plain = weight.max() / 15
    assert blocks.codes.max() <= 15
    assert blocks.scales[0, 0] < plain
    assert ((blocks.real() - weight) ** 2).sum() < ((np.rint(weight / plain) * plain - weight) ** 2).sum()


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros(bits):
    blocks = quantize_blocks(np.zeros((40, 3), np.float32), bits, 32)
    assert (blocks.scales == 1).all()
    assert not blocks.real().any()


def test_gptq_errs_less_at_the_output_than_plain_rounding():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((512, 8)) @ rng.standard_normal((8, 64)) + 0.1 * rng.standard_normal((512, 64))
    weight = random(64, 24)
    plain, spread = quantize_blocks(weight, 4, 32), quantize_blocks(weight, 4, 32, inputs.T @ inputs)
    errors = [np.square(inputs @ (blocks.real() - weight)).sum() for blocks in (plain, spread)]
    assert errors[1] < 0.5 * errors[0]


def test_without_correlation_gptq_is_plain_rounding():
    weight = random(64, 5)
    plain, spread = quantize_blocks(weight, 4, 16), quantize_blocks(weight, 4, 16, np.eye(64))
    assert np.array_equal(plain.codes, spread.codes)


def test_channels_that_were_never_seen_do_no_harm():
    curvature = np.diag([1.0, 0.0, 0.0, 2.0])
    assert np.isfinite(quantize_blocks(random(4, 3), 4, 16, curvature).real()).all()
    assert np.isfinite(quantize_blocks(random(4, 3), 4, 16, np.zeros((4, 4))).real()).all()


@given(arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=FINITE), st.sampled_from([4, 8]))
def test_whatever_the_weights_the_codes_are_codes_and_the_numbers_finite(weight, bits):
    blocks = quantize_blocks(weight, bits, 16)
    assert blocks.codes.max(initial=0) < 2**bits
    assert (blocks.scales > 0).all()
    assert np.isfinite(blocks.real()).all()
    assert np.abs(blocks.real()).max() <= 1.07 * np.abs(weight).max() + 1e-30
