"""Affine and group weights, their ranges, and stochastic rounding, against plain loops."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.spec import GroupSize, MinMax, Mse, Percentile, Range, WeightSettings
from hawqlang.stages.quantize import (
    QuantizedWeight,
    WeightGrid,
    draws,
    quantize_layer,
    quantize_weight,
)

Floats = npt.NDArray[np.float64]
W4A8 = Precision(wbits=4, abits=8)


def drawn(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Weights whose spread differs from channel to channel, off centre."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 3, (shape[0], *[1] * (len(shape) - 1)))
    return rng.normal(0.3, 1, shape) * scale


def one(weights: WeightSettings, **more: Any) -> LayerSettings:
    return LayerSettings(layer="conv", precision=(W4A8,), weights=weights, **more)


def affine_by_hand(w: Floats, bits: int) -> tuple[npt.NDArray[np.int64], float, int]:
    """One scale and zero point for all of ``w``, element by element."""
    low, high = min(0.0, w.min()), max(0.0, w.max())
    step = (high - low) / (2**bits - 1)
    zero = min(max(round(-(2 ** (bits - 1)) - low / step), -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
    codes = [
        min(max(round(float(x) / step) + zero, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
        for x in w.reshape(-1)
    ]
    return np.array(codes).reshape(w.shape), step, zero


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), bits=st.integers(2, 16))
def test_an_affine_channel_is_what_a_loop_makes_of_it(seed: int, bits: int) -> None:
    weight = drawn((3, 4, 3, 2), seed)
    got = quantize_weight(weight, bits, grid=WeightGrid("affine"))
    assert got.zero is not None
    for c, row in enumerate(weight):
        q, step, zero = affine_by_hand(row, bits)
        assert got.scale[c] == pytest.approx(step, rel=1e-12)
        assert int(got.zero[c, 0]) == zero
        np.testing.assert_array_equal(got.q[c], q)
        np.testing.assert_array_equal(got.integers()[c], q - zero)
    assert np.abs(got.real() - weight).max() <= got.scale.max() * 1.01
    assert int(got.integers()[weight == 0].sum()) == 0


def test_zero_weights_stay_exactly_zero_whatever_the_zero_point() -> None:
    weight = np.array([[0.0, 1.0, 7.0], [-7.0, 0.0, -1.0]])
    got = quantize_weight(weight, 4, grid=WeightGrid("affine"))
    np.testing.assert_array_equal(got.zero, [[-8], [7]])
    np.testing.assert_array_equal(got.integers()[[0, 1], [0, 1]], [0, 0])


def test_an_affine_tensor_shares_scale_and_zero_point() -> None:
    got = quantize_weight(drawn((4, 9)), 8, granularity="per_tensor", grid=WeightGrid("affine"))
    assert got.zero is not None
    assert len(set(got.scale)) == len(set(got.zero.reshape(-1))) == 1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    depth=st.integers(1, 13),
    size=st.integers(1, 14),
    bits=st.integers(2, 8),
    affine=st.booleans(),
)
def test_groups_are_whole_multiples_of_their_channels_scale(
    seed: int, depth: int, size: int, bits: int, affine: bool
) -> None:
    """Groups that do not divide the channels, groups of one, and groups that hold everything."""
    weight = drawn((3, depth, 2, 2), seed) * np.random.default_rng(seed).uniform(
        0.01, 1, (3, depth, 1, 1)
    )
    grid = WeightGrid("affine" if affine else "symmetric")
    got = quantize_weight(weight, bits, granularity=GroupSize(size=size), grid=grid)
    if size >= depth:
        assert got.multiple is None
        plain = quantize_weight(weight, bits, grid=grid)
        np.testing.assert_array_equal(got.integers(), plain.integers())
        return
    assert got.multiple is not None
    groups = -(-depth // size)
    assert got.multiple.shape == (3, groups)
    assert int(got.multiple.min()) >= 1
    assert int(got.multiple.max()) == 255
    expected = np.zeros(weight.shape, np.int64)
    for c in range(3):
        for i in range(depth):
            k = int(got.multiple[c, i // size])
            zero = 0 if got.zero is None else int(got.zero[c, i // size])
            expected[c, i] = (got.q[c, i].astype(int) - zero) * k
            step = k * got.scale[c]
            assert np.abs(got.real()[c, i] - weight[c, i]).max() <= step * (
                1.01 if affine else 0.51
            )
    np.testing.assert_array_equal(got.integers(), expected)


def test_groups_serve_channels_of_unlike_spread_better_than_one_scale() -> None:
    weight = drawn((4, 32, 3, 3)) * np.where(np.arange(32) < 16, 1.0, 0.05)[None, :, None, None]

    def error(size: int) -> float:
        got = quantize_weight(weight, 4, granularity=GroupSize(size=size))
        return float(np.square(got.real() - weight)[:, 16:].sum())

    assert error(16) < 0.02 * error(32)


def loss(found: QuantizedWeight, weight: Floats) -> float:
    return float(np.square(found.real() - weight).sum())


@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor", GroupSize(size=5)])
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_the_mse_range_loses_no_more_than_extremes_or_percentiles(
    granularity: Any, scheme: Any
) -> None:
    weight = np.random.default_rng(5).standard_t(3, (6, 12, 3, 3)) + 0.5
    found = {
        method.kind: loss(
            quantize_weight(
                weight, 4, granularity=granularity, method=method, grid=WeightGrid(scheme)
            ),
            weight,
        )
        for method in (MinMax(), Percentile(p=Fraction(98, 100)), Mse())
    }
    assert found["mse"] <= min(found.values()) * 1.001
    assert found["mse"] < 0.97 * found["minmax"]


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_a_percentile_clips_each_group_on_its_own(scheme: Any) -> None:
    weight = np.tile(np.linspace(-1, 1, 101), (1, 2, 1)) * np.array([1.0, 10.0])[None, :, None]
    method: Range = Percentile(p=Fraction(9, 10))
    got = quantize_weight(
        weight, 8, granularity=GroupSize(size=1), method=method, grid=WeightGrid(scheme)
    )
    most = np.abs(got.real()).max(axis=2)[0]
    expected = 0.9 if scheme == "symmetric" else 0.8
    np.testing.assert_allclose(most, [expected, 10 * expected], rtol=0.05)


def test_a_groups_sums_are_kept_within_the_accumulator() -> None:
    weight = drawn((2, 64, 3, 3))
    weights = WeightSettings(granularity=GroupSize(size=16))
    wide = quantize_layer(weight, Precision(wbits=8, abits=16), one(weights))
    fine = quantize_layer(weight, W4A8, one(weights))
    assert fine.multiple is not None
    assert wide.multiple is not None
    assert int(fine.multiple.max()) == 255
    assert int(wide.multiple.max()) < 255
    sums = np.abs(wide.integers()).reshape(2, -1).sum(axis=1) * (2**16 - 1)
    assert int(sums.max()) < 2**31


def test_integers_of_groups_fit_sixteen_bits_at_every_width() -> None:
    weight = drawn((2, 6))
    for bits in range(2, 17):
        for scheme in ("symmetric", "affine"):
            how = WeightSettings(granularity=GroupSize(size=3), scheme=scheme)
            got = quantize_layer(weight, Precision(wbits=bits, abits=2), one(how))
            assert int(np.abs(got.integers()).max()) <= (2**15 if bits < 16 else 2**16)


# ---- stochastic rounding -------------------------------------------------------------------------


def test_stochastic_rounding_is_floor_of_the_step_plus_a_draw() -> None:
    weight = drawn((3, 5))
    how = WeightSettings(rounding="stochastic")
    got = quantize_layer(weight, W4A8, one(how, seed=3))
    draw = draws("conv", 3, weight.shape)
    expected = np.clip(np.floor(weight / got.scale[:, None] + draw), -7, 7)
    np.testing.assert_array_equal(got.q, expected)
    assert (np.abs(got.real() - weight) <= got.scale[:, None] * (1 + 1e-9)).all()


def test_stochastic_rounding_is_right_on_average_and_keeps_what_is_on_the_grid() -> None:
    weight = np.full((1, 40_001), 2.3)
    weight[0, 0] = 7.0
    how = WeightSettings(rounding="stochastic")
    got = quantize_layer(weight, W4A8, one(how))
    assert set(np.unique(got.q[0, 1:])) == {2, 3}
    assert float(got.q[0, 1:].mean()) == pytest.approx(2.3, abs=0.01)
    whole = np.arange(-7.0, 8.0)[None]
    np.testing.assert_array_equal(quantize_layer(whole, W4A8, one(how)).q, whole)


def test_draws_depend_on_seed_and_name_alone() -> None:
    again = draws("a", 1, (4, 4))
    np.testing.assert_array_equal(draws("a", 1, (4, 4)), again)
    assert not np.array_equal(draws("a", 2, (4, 4)), again)
    assert not np.array_equal(draws("b", 1, (4, 4)), again)
    np.testing.assert_allclose(
        draws("layer1.0.conv1", 7, (3,)), [0.37663833, 0.26383303, 0.70129047], atol=1e-8
    )
