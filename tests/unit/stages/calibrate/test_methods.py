"""Range methods against brute force on stored values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hawqlang.ir.spec import Ema, Entropy, MinMax, Percentile, Range
from hawqlang.stages.calibrate.methods import choose_range, mse_range, quantization_error
from hawqlang.stages.calibrate.observed import Observed
from hawqlang.stages.quantize import Scheme, quant_params

Values = npt.NDArray[np.floating[Any]]


def observe(values: Values, parts: int = 1, momenta: tuple[float, ...] = ()) -> Observed:
    observed = Observed(momenta=momenta)
    for part in np.array_split(values.astype(np.float32).reshape(values.shape[0], -1), parts):
        observed.add(torch.from_numpy(part))
    return observed


def heavy_tailed(seed: int = 0, *, relu: bool = False) -> Values:
    values = np.random.default_rng(seed).standard_t(3, size=(40, 1000)).astype(np.float32)
    return np.maximum(values, 0) if relu else values


def error(values: Values, low: float, high: float, bits: int, scheme: Scheme, sign: bool) -> float:
    params = quant_params(low, high, bits, nonnegative=not sign, scheme=scheme)
    real = params.dequantize(params.quantize(values.astype(np.float64)))
    return float(np.square(real - values).mean())


def test_splitting_the_samples_differently_gives_the_same_statistics() -> None:
    values = heavy_tailed()
    once, often = observe(values), observe(values, parts=7)
    np.testing.assert_array_equal(once.positive, often.positive)
    np.testing.assert_array_equal(once.negative, often.negative)
    assert (once.low, once.high) == (often.low, often.high) == (values.min(), values.max())


def test_every_value_is_counted_between_the_edges_of_its_bin() -> None:
    values = heavy_tailed()
    segments = observe(values).segments()
    expected = [
        ((values > a) & (values <= b)).sum() if a < 0 else ((values >= a) & (values < b)).sum()
        for a, b in zip(segments.left[1:-1], segments.right[1:-1], strict=True)
    ]
    np.testing.assert_array_equal(segments.count[1:-1], expected)
    assert segments.count.sum() + segments.zeros == values.size


@pytest.mark.parametrize("p", [0.9, 0.999, 0.9999])
@pytest.mark.parametrize("relu", [False, True])
def test_percentile_matches_the_order_statistic_on_both_tails(p: float, relu: bool) -> None:
    values = heavy_tailed(relu=relu)
    got = choose_range(
        observe(values), Percentile(p=Fraction(str(p))), 8, nonnegative=relu, scheme="affine"
    )
    low, high = np.quantile(values, [1 - p, p], method="inverted_cdf")
    assert got[1] == pytest.approx(high, rel=1 / 256)
    assert got[0] == (0.0 if relu else pytest.approx(low, rel=1 / 256))


def test_the_whole_percentile_is_the_exact_extreme() -> None:
    values = heavy_tailed()
    for method in (Percentile(p=Fraction(1)), MinMax()):
        got = choose_range(observe(values), method, 8, nonnegative=False, scheme="affine")
        assert got == (values.min(), values.max())


def test_a_percentile_that_would_clip_everything_falls_back_to_the_extremes() -> None:
    values = np.zeros((10, 1000))
    values[0, 0] = 3.0
    got = choose_range(
        observe(values), Percentile(p=Fraction("0.99")), 8, nonnegative=True, scheme="affine"
    )
    assert got == (0.0, 3.0)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
@pytest.mark.parametrize("sign", [True, False])
def test_the_error_of_a_histogram_is_the_error_of_the_values(
    bits: int, scheme: Scheme, sign: bool
) -> None:
    values = heavy_tailed(1, relu=not sign)
    params = quant_params(-2.5, 4.0, bits, nonnegative=not sign, scheme=scheme)
    got = quantization_error(observe(values).segments(), params)
    assert got == pytest.approx(error(values, -2.5, 4.0, bits, scheme, sign), rel=0.01)


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
@pytest.mark.parametrize("sign", [True, False])
def test_the_mse_range_is_as_good_as_brute_force_on_the_values(
    bits: int, scheme: Scheme, sign: bool
) -> None:
    values = heavy_tailed(2, relu=not sign)[:10]
    low, high = mse_range(observe(values), bits, nonnegative=not sign, scheme=scheme)
    lows = np.linspace(0.02, 1, 30) * values.min() if sign and scheme == "affine" else [0.0]
    brute = min(
        error(values, float(a) if scheme == "affine" else -b, b, bits, scheme, sign)
        for a in lows
        for b in np.linspace(0.02, 1, 60) * np.abs(values).max()
    )
    assert error(values, low, high, bits, scheme, sign) <= 1.02 * brute


def test_the_mse_range_of_an_even_distribution_clips_nothing_much() -> None:
    values = np.random.default_rng(0).uniform(0, 6, size=(4, 5000))
    assert mse_range(observe(values), 8, nonnegative=True, scheme="affine")[1] > 5.95


def test_the_moving_average_goes_over_single_samples() -> None:
    values = np.array([[-1.0, 2.0], [-3.0, 4.0], [-5.0, 1.0]])
    for parts in (1, 3):
        observed = observe(values, parts, momenta=(0.5,))
        got = choose_range(
            observed, Ema(momentum=Fraction(1, 2)), 8, nonnegative=False, scheme="affine"
        )
        assert got == (-3.5, 2.0)


def test_the_entropy_range_clips_a_lonely_outlier_and_keeps_an_even_spread() -> None:
    rng = np.random.default_rng(0)
    lonely = np.abs(rng.normal(size=(10, 2000)))
    lonely[0, 0] = 60.0
    got = choose_range(observe(lonely), Entropy(), 8, nonnegative=True, scheme="affine")
    assert 3.0 < got[1] < 12.0
    even = rng.uniform(-1, 1, size=(10, 2000))
    low, high = choose_range(observe(even), Entropy(), 8, nonnegative=False, scheme="affine")
    assert (low, high) == pytest.approx((-1, 1), rel=0.02)


def divergence(magnitudes: Values, clip: float, levels: int) -> float:
    """KL of the clipped magnitudes from their copy in ``levels`` levels, from the values themselves."""
    bins = 2048
    counts = np.histogram(magnitudes, bins=bins, range=(0, magnitudes.max()))[0].astype(float)
    end = round(clip / magnitudes.max() * bins)
    reference = counts[:end].copy()
    reference[-1] += counts[end:].sum()
    copy = np.zeros(end)
    for part in range(levels):
        own = [i for i in range(end) if i * levels // end == part and counts[i] > 0]
        copy[own] = sum(counts[i] for i in own) / max(len(own), 1)
    p, q = reference / reference.sum(), copy / copy.sum()
    live = p > 0
    return float((p[live] * np.log(p[live] / np.maximum(q[live], 1e-12))).sum())


@pytest.mark.parametrize("relu", [False, True])
def test_the_entropy_range_loses_as_little_as_the_best_of_all_clips(relu: bool) -> None:
    values = np.random.default_rng(3).laplace(size=(40, 5000)).astype(np.float32)
    values = np.abs(values) if relu else values
    low, high = choose_range(observe(values), Entropy(), 4, nonnegative=relu, scheme="affine")
    live = np.abs(values[values != 0])
    levels = 16 if relu else 8
    ends = np.linspace(levels / 2048, 1, 60) * live.max()
    best = min(divergence(live, float(end), levels) for end in ends)
    assert divergence(live, max(-low, high), levels) <= 1.1 * best + 0.01
    assert max(-low, high) < live.max()


@pytest.mark.parametrize("method", [Entropy(), Ema(momentum=Fraction(9, 10))])
def test_entropy_and_moving_averages_do_not_depend_on_the_batches(method: Range) -> None:
    values = heavy_tailed(4)
    found = {
        choose_range(
            observe(values, parts, momenta=(0.9,)), method, 4, nonnegative=False, scheme="affine"
        )
        for parts in (1, 2, 5)
    }
    assert len(found) == 1


def test_values_too_small_to_matter_count_as_zero() -> None:
    observed = observe(np.array([[1e-12, -1e-12, 0.0, 1.0]]))
    segments = observed.segments()
    assert (segments.zeros, segments.count.sum()) == (3.0, 1.0)
