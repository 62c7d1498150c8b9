"""Scales, zero points and quantized weights."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hawqlang.ir.spec import Mse, Percentile
from hawqlang.stages.quantize import (
    QuantParams,
    least_weight_scale,
    quant_params,
    quantize_weight,
)


def test_a_tensor_that_cannot_be_negative_is_unsigned_with_zero_point_0() -> None:
    got = quant_params(-3.0, 5.1, 8, nonnegative=True, scheme="affine")
    assert got == QuantParams(5.1 / 255, 0, 0, 255, signed=False)


def test_a_signed_affine_tensor_maps_its_low_end_to_the_smallest_integer() -> None:
    got = quant_params(-1.0, 3.0, 4, nonnegative=False, scheme="affine")
    assert got == QuantParams(4 / 15, -4, -8, 7, signed=True)
    np.testing.assert_array_equal(got.quantize(np.array([-1.0, 0.0, 3.0, 9.0])), [-8, -4, 7, 7])


def test_ranges_are_widened_to_include_zero() -> None:
    assert quant_params(1.0, 2.0, 8, nonnegative=False, scheme="affine").zero_point == -128
    assert quant_params(-2.0, -1.0, 8, nonnegative=False, scheme="affine").zero_point == 127


@pytest.mark.parametrize(("nonnegative", "scale"), [(False, 3.0 / 127), (True, 2.0 / 255)])
def test_symmetric_means_zero_point_0(nonnegative: bool, scale: float) -> None:
    got = quant_params(-3.0, 2.0, 8, nonnegative=nonnegative, scheme="symmetric")
    assert (got.scale, got.zero_point) == (scale, 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("low", [-7.0, -0.1, 0.0])
def test_zero_is_exact_and_every_value_in_range_is_within_half_a_step(
    bits: int, low: float
) -> None:
    params = quant_params(low, 2.0, bits, nonnegative=False, scheme="affine")
    assert params.dequantize(params.quantize(np.zeros(1)))[0] == 0.0
    x = np.linspace(low, 2.0, 1001)
    error = np.abs(params.dequantize(params.quantize(x)) - x)
    # Rounding the zero point shifts the grid by up to half a step beyond rounding itself.
    assert error.max() <= params.scale * 1.0000001


def test_an_empty_range_gets_a_harmless_scale() -> None:
    for nonnegative in (True, False):
        params = quant_params(0.0, 0.0, 8, nonnegative=nonnegative, scheme="affine")
        assert (params.scale, params.zero_point) == (1.0, 0)


def test_a_range_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        quant_params(0.0, float("nan"), 8, nonnegative=True, scheme="affine")


def test_ties_of_activations_go_up() -> None:
    params = QuantParams(1.0, 0, -8, 7, signed=True)
    np.testing.assert_array_equal(params.quantize(np.array([-2.5, 2.5, 3.5])), [-2, 3, 4])


def test_weights_round_half_to_even_on_a_symmetric_grid() -> None:
    weight = np.array([[7.0, 0.5, 1.5, -2.5], [-14.0, 14.0, 1.0, 0.0]])
    got = quantize_weight(weight, 4)
    np.testing.assert_array_equal(got.q, [[7, 0, 2, -2], [-7, 7, 0, 0]])
    np.testing.assert_array_equal(got.scale, [1.0, 2.0])
    assert got.q.dtype == np.int8


def test_two_bits_are_ternary() -> None:
    got = quantize_weight(np.random.default_rng(0).normal(size=(3, 50)), 2)
    assert set(np.unique(got.q)) == {-1, 0, 1}


def test_per_tensor_uses_one_scale_for_all_channels() -> None:
    weight = np.array([[1.0, 0.1], [127.0, 3.0]])
    got = quantize_weight(weight, 8, granularity="per_tensor")
    np.testing.assert_array_equal(got.scale, [1.0, 1.0])
    np.testing.assert_array_equal(got.q, [[1, 0], [127, 3]])


def test_a_channel_of_zeros_gets_a_harmless_scale() -> None:
    got = quantize_weight(np.array([[0.0, 0.0], [127.0, 1.0], [1.27, 0.0]]), 8)
    assert got.scale[0] == 1.0
    np.testing.assert_array_equal(got.q[0], [0, 0])
    np.testing.assert_array_equal(quantize_weight(np.zeros((2, 3)), 8).scale, [1.0, 1.0])


def test_the_mse_range_beats_the_largest_magnitude_and_matches_a_full_search() -> None:
    row = np.random.default_rng(3).normal(size=(1, 400))
    row[0, 0] = 8.0

    def loss(scale: float) -> float:
        return float(np.square(np.clip(np.rint(row / scale), -7, 7) * scale - row).sum())

    got = quantize_weight(row, 4, method=Mse())
    full = min(loss(float(s)) for s in np.linspace(0.02, 1, 4000) * np.abs(row).max() / 7)
    assert loss(float(got.scale[0])) <= 1.02 * full
    assert loss(float(got.scale[0])) < 0.7 * loss(float(quantize_weight(row, 4).scale[0]))


def test_the_percentile_range_clips_the_tail_of_the_magnitudes() -> None:
    row = np.arange(-100, 101, dtype=np.float64)[None]
    got = quantize_weight(row, 8, method=Percentile(p=Fraction(1, 2)))
    assert got.scale[0] == 50 / 127


def test_widths_without_uniform_levels_are_refused() -> None:
    for bits in (0, 17):
        with pytest.raises(ValueError, match=f"{bits} bits"):
            quantize_weight(np.ones((1, 2)), bits)


def test_sixteen_bit_weights_are_int16() -> None:
    assert quantize_weight(np.array([[1.0, -0.5]]), 16).q.dtype == np.int16


def test_a_vanished_channel_keeps_its_bias_within_the_accumulator() -> None:
    least = least_weight_scale(np.array([3.0, 0.0]), 0.01)
    got = quantize_weight(np.array([[1e-30, 0.0], [1.0, 0.5]]), 8, least=least)
    assert 3.0 / (got.scale[0] * 0.01) <= 2.0**30
    assert got.scale[1] == 1 / 127
