"""The closed forms against brute force and against independent formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hawqlang.stages.tune import rounding
from hawqlang.stages.tune.grid import Codes, Grid, Rounded
from hawqlang.stages.tune.rounding import (
    best_scale,
    choose,
    descend,
    metric,
    output_error,
    refit,
    round_at,
    round_with_feedback,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def second_moment(groups: int, width: int, count: int = 200, seed: int = 1) -> torch.Tensor:
    """Of strongly correlated inputs."""
    x = drawn(groups, count, width, seed=seed)
    x = x + 2 * x.mean(2, keepdim=True) * width**0.5
    return x.mT @ x / count


def symmetric(scale: torch.Tensor, limit: int) -> Grid:
    """The grid of symmetric codes without groups."""
    one = torch.ones_like(scale)[:, :, None]
    return Grid(scale, -limit * one, limit * one, one)


def test_the_refit_is_the_minimum_of_its_own_objective() -> None:
    x, y = drawn(1, 60, 5), drawn(1, 60, 3, seed=2)
    weight = drawn(1, 3, 5, seed=3)
    h, yx = x.mT @ x / 60, y.mT @ x / 60
    found = refit(weight, h, yx)
    pull = float(rounding.RIDGE * h[0].diagonal().mean())
    # The same as least squares on the samples with the pull as further rows.
    rows = torch.cat([x[0], (60 * pull) ** 0.5 * torch.eye(5, dtype=torch.float64)])
    wanted = torch.cat([y[0], (60 * pull) ** 0.5 * weight[0].T])
    expected = np.linalg.lstsq(rows.numpy(), wanted.numpy(), rcond=None)[0].T
    np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-12)


def test_a_refit_without_samples_that_vary_keeps_the_weight() -> None:
    weight = drawn(2, 3, 4)
    zero = torch.zeros(2, 4, 4, dtype=torch.float64)
    np.testing.assert_allclose(refit(weight, zero, torch.zeros_like(weight)), weight, rtol=1e-9)


def test_feedback_rounds_as_the_textbook_loop_does() -> None:
    target, h = drawn(1, 4, 7), second_moment(1, 7)
    by = metric(h)
    scale = target.abs().amax(2) / 7
    got = round_with_feedback(target, symmetric(scale, 7), by)
    # Algorithm 1 of GPTQ with an explicit inverse at every column (optimal brain quantization).
    rest = target[0].clone()
    left = [int(k) for k in by.order[0]]
    q = torch.zeros_like(rest)
    while left:
        k = left[0]
        inverse = torch.inverse(by.h[0][left][:, left])
        q[:, k] = torch.round(rest[:, k] / scale[0]).clamp(-7, 7)
        error = (rest[:, k] - q[:, k] * scale[0]) / inverse[0, 0]
        rest[:, left] -= error[:, None] * inverse[0]
        left.pop(0)
    np.testing.assert_array_equal(got[0], q)


def test_blocks_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    target, h = drawn(2, 5, 23), second_moment(2, 23)
    by, scale = metric(h), target.abs().amax(2) / 7
    whole = round_with_feedback(target, symmetric(scale, 7), by)
    monkeypatch.setattr(rounding, "BLOCK", 4)
    np.testing.assert_array_equal(round_with_feedback(target, symmetric(scale, 7), by), whole)


def test_groups_are_rounded_each_by_its_own_inputs() -> None:
    target, h = drawn(3, 2, 9), second_moment(3, 9)
    scale = target.abs().amax(2) / 7
    together = round_at(target, symmetric(scale, 7), metric(h))
    for g in range(3):
        one = slice(g, g + 1)
        alone = round_at(target[one], symmetric(scale[one], 7), metric(h[one]))
        np.testing.assert_array_equal(together.q[one], alone.q)


def test_the_integers_are_near_the_best_of_all_that_there_are() -> None:
    total = np.zeros(3)
    for seed in range(20):
        target, h = drawn(1, 1, 5, seed=seed), second_moment(1, 5, seed=100 + seed)
        by = metric(h)
        grid = symmetric(target.abs().amax(2) / 3, 3)
        found = round_at(target, grid, by)
        all_q = torch.tensor(list(itertools.product(range(-3, 4), repeat=5)), dtype=torch.float64)
        errors = output_error(target.expand(1, len(all_q), 5), Rounded(all_q[None], grid), by.h)
        least = float(errors.min())
        nearest = Rounded(torch.round(target / grid.steps()).clamp(-3, 3), grid)
        got = float(output_error(target, found, by.h))
        assert got >= least - 1e-9
        total += np.array([least, got, float(output_error(target, nearest, by.h))])
    least, got, nearest = total
    assert got < 1.5 * least
    assert got < 0.5 * nearest


def test_descent_never_raises_the_error_and_ends_where_no_single_step_helps() -> None:
    target, h = drawn(2, 6, 12), second_moment(2, 12)
    scale = target.abs().amax(2) / 7
    start = Rounded(torch.round(target / scale[..., None]), symmetric(scale, 7))
    found = start
    for _ in range(20):
        found = descend(target, found, h)
    errors = output_error(target, found, h)
    assert bool((errors <= output_error(target, start, h) + 1e-12).all())
    for k, change in itertools.product(range(12), (-1, 1)):
        q = found.q.clone()
        q[:, :, k] = (q[:, :, k] + change).clamp(-7, 7)
        assert bool((output_error(target, Rounded(q, found.grid), h) >= errors - 1e-9).all())


@pytest.mark.parametrize("shared", [False, True])
def test_no_other_scale_fits_given_integers_better(shared: bool) -> None:
    target, h = drawn(2, 3, 8), second_moment(2, 8)
    scale = target.abs().amax(2) / 7
    start = Rounded(torch.round(target / scale[..., None]), symmetric(scale, 7))
    found = best_scale(target, start, h, shared=shared)

    def error(factor: float) -> torch.Tensor:
        errors = output_error(target, Rounded(found.q, found.grid.at(found.grid.scale * factor)), h)
        return errors.sum() if shared else errors

    assert not shared or len(np.unique(found.grid.scale)) == 1
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert bool((error(factor) > error(1.0)).all())


def test_chosen_scales_beat_the_full_range() -> None:
    target, h = drawn(1, 16, 24), second_moment(1, 24)
    by = metric(h)
    full = round_at(target, symmetric(target.abs().amax(2) / 7, 7), by)
    found = choose(target, by, Codes(4))
    assert bool(
        (output_error(target, found, by.h) <= output_error(target, full, by.h) + 1e-12).all()
    )
    assert output_error(target, found, by.h).sum() < 0.9 * output_error(target, full, by.h).sum()


def test_a_least_scale_is_kept_to_and_empty_rows_get_a_scale() -> None:
    target, h = drawn(1, 3, 6), second_moment(1, 6)
    target[0, 1] = 0.0
    found = choose(target, metric(h), Codes(4), least=torch.tensor([[5.0, 0.0, 0.0]]))
    assert found.grid.scale[0, 0] == 5.0
    assert found.grid.scale[0, 1] > 0
    np.testing.assert_array_equal(found.q[0, 1], np.zeros(6))
