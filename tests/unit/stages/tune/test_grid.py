"""Grids of every kind of weight, against the quantizer to nearest; adaptive rounding on them, against nearest."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.cache import Cache
from hawqlang.ir.spec import GroupSize
from hawqlang.ir.tuning import Tuning
from hawqlang.stages.quantize import QuantizedWeight, WeightGrid, quantize_weight
from hawqlang.stages.tune import fit
from hawqlang.stages.tune.best import trainable
from hawqlang.stages.tune.grid import Rounded, codes_of
from hawqlang.stages.tune.replay import divergence, held_out
from hawqlang.stages.tune.rounding import (
    best_multiples,
    best_scale,
    choose,
    metric,
    output_error,
    round_at,
)
from hawqlang.stages.tuned_weights import given_weight, kept_weight
from tests.unit.stages.nets import Net
from tests.unit.stages.tune.test_recipe import (
    FAST,
    QUIET,
    W3A4,
    as_chosen,
    error_on,
    fresh,
    hard,
    images,
    simulated,
    subject,
)
from tests.unit.stages.tune.test_reconstruct import lower
from tests.unit.stages.tune.test_rounding import drawn, second_moment

KINDS: list[dict[str, Any]] = [
    {"scheme": "affine"},
    {"scheme": "affine", "granularity": "per_tensor"},
    {"granularity": GroupSize(size=2)},
    {"scheme": "affine", "granularity": GroupSize(size=3)},
]
"""Weights of 8 input channels, the last group of which may be smaller."""

GROUPED = KINDS[2:]


def quantized(kind: dict[str, Any], bits: int = 4, seed: int = 3) -> tuple[torch.Tensor, Any]:
    """A convolution's weight ``(6, 8, 3, 3)`` off centre, its channels of different sizes, and its codes."""
    real = drawn(6, 8, 3, 3, seed=seed) + 0.6
    real *= torch.linspace(0.2, 2, 8, dtype=torch.float64)[None, :, None, None]
    grid = WeightGrid(kind.get("scheme", "symmetric"))
    granularity = kind.get("granularity", "per_channel")
    return real, quantize_weight(real.numpy(), bits, granularity=granularity, grid=grid)


def codes(kind: dict[str, Any], weight: QuantizedWeight, bits: int = 4) -> Any:
    return codes_of(weight, bits, shared=kind.get("granularity") == "per_tensor")


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantized_weight_comes_back_from_its_grid_as_it_was(kind: dict[str, Any]) -> None:
    real, weight = quantized(kind)
    own = codes(kind, weight)
    grid = own.grid_of(weight, (1, 6))
    rows = torch.from_numpy(weight.real()).reshape(1, 6, -1)
    low, high = grid.ends()
    found = Rounded(torch.round(rows / grid.steps()), grid)
    assert bool(((found.q >= low) & (found.q <= high)).all())
    again = own.quantized(found, weight)
    assert (again.q.dtype, again.group) == (weight.q.dtype, weight.group)
    for name in ("q", "scale", "zero", "multiple"):
        np.testing.assert_array_equal(getattr(again, name), getattr(weight, name))
    np.testing.assert_array_equal(again.real(), weight.real())
    assert float((torch.from_numpy(again.real()) - real).abs().max()) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_grid_of_the_whole_range_is_that_of_the_quantizer(kind: dict[str, Any]) -> None:
    real, weight = quantized(kind)
    own = codes(kind, weight)
    given = own.grid_of(weight, (1, 6))
    found = own.grid(real.reshape(1, 6, -1), 1.0, torch.zeros(()).double())
    np.testing.assert_allclose(found.scale, given.scale, rtol=1e-12)
    for name in ("low", "high", "multiple"):
        np.testing.assert_array_equal(
            getattr(found, name).expand_as(given.low), getattr(given, name)
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", [0.9, 0.4])
def test_zero_stays_on_every_grid_and_codes_within_their_bits(
    kind: dict[str, Any], ratio: float
) -> None:
    real, weight = quantized(kind)
    target = real.reshape(1, 6, -1)
    target[0, 2] = 0.0
    own = codes(kind, weight)
    found = round_at(
        target, own.grid(target, ratio, torch.zeros(()).double()), metric(second_moment(1, 72))
    )
    low, high = found.grid.ends()
    assert bool(((low <= 0) & (high >= 0)).all())
    kept = own.quantized(found, weight)
    least = -8 if kind.get("scheme") == "affine" else -7
    assert least <= int(kept.q.min())
    assert int(kept.q.max()) <= 7
    if kept.zero is not None:
        assert int(kept.zero.min()) >= -8
        assert int(kept.zero.max()) <= 7


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_by_output_error_beats_nearest_on_correlated_inputs(kind: dict[str, Any]) -> None:
    real, weight = quantized(kind)
    target, by = real.reshape(1, 6, -1), metric(second_moment(1, 72))
    own = codes(kind, weight)
    grid = own.grid_of(weight, (1, 6))
    nearest = torch.from_numpy(weight.real()).reshape(1, 6, -1)
    plain = output_error(target, Rounded(nearest / grid.steps(), grid), by.h)
    rounded = round_at(target, grid, by)
    chosen = choose(target, by, own)
    got, scaled = (output_error(target, found, by.h) for found in (rounded, chosen))
    assert float(got.sum()) < 0.5 * float(plain.sum())
    assert float(scaled.sum()) < 1.05 * float(got.sum())
    # What is kept gives what was weighed.
    again = torch.from_numpy(own.quantized(chosen, weight).real()).reshape(1, 6, -1)
    np.testing.assert_allclose(again, chosen.real(), rtol=1e-12)


def test_an_affine_grid_fits_weights_that_are_off_centre_better_than_a_symmetric_one() -> None:
    target, by = drawn(1, 6, 24) + 2.0, metric(second_moment(1, 24))
    weight = target.reshape(6, 24, 1, 1).numpy()
    errors = [
        output_error(target, choose(target, by, codes_of(own, 3, shared=False)), by.h).sum()
        for own in (
            quantize_weight(weight, 3),
            quantize_weight(weight, 3, grid=WeightGrid("affine")),
        )
    ]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("kind", GROUPED)
def test_no_single_multiple_fits_given_integers_better(kind: dict[str, Any]) -> None:
    real, weight = quantized(kind)
    target, by = real.reshape(1, 6, -1), metric(second_moment(1, 72))
    own = codes(kind, weight)
    start = round_at(target, own.grid_of(weight, (1, 6)), by)
    found = start
    for _ in range(30):
        found = best_multiples(target, found, by.h, own.most_multiple)
    errors = output_error(target, found, by.h)
    assert bool((errors <= output_error(target, start, by.h) + 1e-12).all())
    assert 1 <= float(found.grid.multiple.min()) <= float(found.grid.multiple.max())
    assert float(found.grid.multiple.max()) <= own.most_multiple
    for s, change in itertools.product(range(found.grid.multiple.shape[2]), (-1, 1)):
        multiple = found.grid.multiple.clone()
        multiple[:, :, s] = (multiple[:, :, s] + change).clamp(1, own.most_multiple)
        other = Rounded(found.q, replace(found.grid, multiple=multiple))
        assert bool((output_error(target, other, by.h) >= errors - 1e-9).all())
    scaled = best_scale(target, found, by.h, shared=False)
    assert bool((output_error(target, scaled, by.h) <= errors + 1e-12).all())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_kept_whole_in_the_cache(kind: dict[str, Any]) -> None:
    store = Cache(None).tensors
    _, weight = quantized(kind)
    again = given_weight(store, kept_weight(store, "conv", weight))
    np.testing.assert_array_equal(again.real(), weight.real())
    np.testing.assert_array_equal(again.integers(), weight.integers())


# ---- whole networks --------------------------------------------------------------------------------


def net() -> Any:
    """Dense, depthwise and linear layers, wide enough for groups of two."""
    made = Net((3, 8, 8))
    stem = made.relu("stem.relu", made.conv("stem", "x", 8))
    deep = made.relu("deep.relu", made.conv("deep", stem, 8, groups=8))
    wide = made.relu("wide.relu", made.conv("wide", deep, 16, 1))
    logits = made.linear("fc", made.flatten("flat", made.avg_pool("pool", wide)), 5)
    return made.graph(logits), made.store


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_helps_weights_of_every_kind_on_unseen_samples(kind: dict[str, Any]) -> None:
    own, memory = subject(net(), images(96), W3A4, weights=kind), fresh()
    plain = simulated(own, Tuning(), memory.store)
    tuning = fit(own, memory, QUIET, FAST)
    found = simulated(own, tuning, memory.store)
    unseen = images(64, seed=9)
    assert tuning.kept
    assert any("rounding" in row.kept for row in tuning.layers)
    assert error_on(own, found, unseen) < 0.8 * error_on(own, plain, unseen)
    for row in tuning.weights:
        weight = given_weight(memory.store, row)
        assert (weight.zero is not None) == ("scheme" in kind)
        size = kind.get("granularity")
        grouped = isinstance(size, GroupSize) and weight.q.shape[1] > size.size
        assert (weight.multiple is not None) == grouped
        if kind.get("granularity") == "per_tensor":
            assert len(np.unique(weight.scale)) == 1
            assert weight.zero is not None
            assert len(np.unique(weight.zero)) == 1


@pytest.mark.parametrize("kind", GROUPED)
def test_sums_of_groups_stay_within_their_accumulator(kind: dict[str, Any]) -> None:
    own, memory = (
        subject(net(), images(64), Precision(wbits=4, abits=8), weights=kind, accumulator="int24"),
        fresh(),
    )
    tuning = fit(own, memory, QUIET, FAST)
    assert tuning.weights
    for row in tuning.weights:
        whole = given_weight(memory.store, row).integers().astype(np.int64)
        assert int(np.abs(whole).max()) < 2**15
        sums = np.abs(whole).reshape(len(whole), -1).sum(1) * 255
        assert (sums <= 2**23 - 1).all()


def test_a_rounding_that_would_leave_its_accumulator_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def greedy(*arguments: Any, **named: Any) -> Rounded:
        found = choose(*arguments, **named)
        return Rounded(found.q, replace(found.grid, multiple=found.grid.multiple * 9000))

    monkeypatch.setattr("hawqlang.stages.tune.sequential.choose", greedy)
    own, memory = subject(net(), images(64), weights=KINDS[2], accumulator="int24"), fresh()
    tuning = fit(own, memory, QUIET, FAST)
    for row in tuning.layers:
        assert "scales" not in row.kept
        assert "refit" not in row.kept


@pytest.mark.parametrize("kind", KINDS[2:])
def test_the_same_samples_give_the_same_codes(kind: dict[str, Any]) -> None:
    first = fit(subject(net(), images(96), weights=kind), fresh(), QUIET, FAST)
    again = fit(subject(net(), images(96), weights=kind), fresh(), QUIET, FAST)
    assert first.weights
    assert first == again


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[3]])
def test_gradients_keep_weights_of_every_kind_on_their_grid(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawqlang.stages.tune.distil.STEPS", 10)
    monkeypatch.setattr("hawqlang.stages.tune.best.surely_less", lower)
    monkeypatch.setattr("hawqlang.stages.tune.pool", as_chosen)
    own, memory = subject(net(), images(32), weights=kind), fresh()
    tuning = fit(own, memory, QUIET, hard(own))
    held = images(32)[held_out(32)]
    got = simulated(own, tuning, memory.store).run(held)
    least = min(trial.error for trial in tuning.trials if trial.kept)
    assert divergence(got, own.model.forward(held)) == pytest.approx(least, rel=1e-4)
    for row in tuning.weights:
        weight = given_weight(memory.store, row)
        assert (weight.zero is not None) == (kind.get("scheme") == "affine")
        assert int(weight.q.min()) >= -3 - (weight.zero is not None)
        assert int(weight.q.max()) <= 3


def test_a_narrow_accumulator_is_learned_under_with_symmetric_weights_alone() -> None:
    for kind, allowed in (({}, True), *((kind, False) for kind in KINDS)):
        own = subject(net(), images(16), weights=kind, accumulator="int24").deployment
        assert {trainable(s, 4) for s in own.settings.values()} == {allowed}
        assert not any(trainable(s, 1) for s in own.settings.values())
