"""Weights for narrow accumulators are within their bound at every moment, and near the float ones."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hawqlang.arith.width import LIMITS, accumulator_bound
from hawqlang.base import Precision
from hawqlang.stages.finetune.bounded import BoundedStep, projected
from hawqlang.stages.quantize import QuantizedWeight, quantize_weight, stored_params
from hawqlang.stages.structure import Form, layer_nodes, range_root
from tests.unit.stages.finetune.lesson_nets import drawn, method, network, pupil, train

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("longest", [0, 1, 5, 30, 200])
def test_projection_fits_the_ball_and_keeps_signs(longest: int) -> None:
    weight = torch.from_numpy(RNG.normal(size=(20, 4, 3, 3)) * 4)
    found = projected(weight, longest)
    assert torch.equal(found, found.round())
    assert float(found.abs().flatten(1).sum(1).max()) <= longest
    assert bool((found * weight >= 0).all())


def test_channels_that_fit_are_rounded_to_nearest() -> None:
    weight = torch.from_numpy(RNG.normal(size=(20, 36)) * 2)
    assert torch.equal(projected(weight, 10_000), weight.round())


def test_projection_is_as_near_as_the_best_of_all_integers() -> None:
    weight = torch.from_numpy(RNG.normal(size=(12, 3)) * 3)
    found = projected(weight, 4)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), -1).reshape(-1, 3)
    grid = grid[np.abs(grid).sum(1) <= 4]
    best = ((weight.numpy()[:, None] - grid) ** 2).sum(2).min(1)
    own = (weight - found).square().sum(1).numpy()
    assert (own <= best + 1.0).all()
    assert np.median(own - best) < 0.2


def given_steps(weight: torch.Tensor, steps: float) -> QuantizedWeight:
    return QuantizedWeight(
        np.zeros(weight.shape, np.int8), steps * np.linspace(1, 1.1, len(weight))
    )


def lost(own: BoundedStep, weight: torch.Tensor) -> torch.Tensor:
    return (own.real().detach() - weight).square().sum(1)


def test_training_begins_at_the_steps_that_lose_least() -> None:
    weight = torch.from_numpy(RNG.normal(size=(16, 500)))
    own = BoundedStep(weight, given_steps(weight, 0.4), 7, 128)
    assert own.shortened
    fitting = (
        weight.abs().sum(1) / 128
    )  # at these no real channel is too long, and most weights round to 0
    for factor in (0.35, 0.7, 1.0, 1.4):
        other = BoundedStep(weight, given_steps(weight, 0.4), 7, 128)
        other.steps()[0].data.copy_((fitting * factor).log())
        assert bool((lost(own, weight) <= lost(other, weight) * 1.02).all())
    assert float(lost(own, weight).sum()) < 0.7 * float(lost(other, weight).sum())


def test_weights_that_fit_keep_their_integers() -> None:
    weight = RNG.normal(size=(6, 40))
    given = quantize_weight(weight, 4)
    fitted = torch.from_numpy(given.real())
    own = BoundedStep(fitted, given, 7, 10_000)
    assert not own.shortened
    np.testing.assert_array_equal(own.exported().q, given.q)


def test_a_channel_is_resized_without_other_integers() -> None:
    weight = torch.from_numpy(RNG.normal(size=(6, 40)))
    own = BoundedStep(weight, given_steps(weight, 0.4), 7, 60)
    before, by = own.exported(), torch.linspace(0.5, 2, 6).double()
    own.resize(by)
    np.testing.assert_array_equal(own.exported().q, before.q)
    np.testing.assert_allclose(own.exported().scale, before.scale * by.numpy(), rtol=1e-12)


def test_the_range_factor_rises_while_channels_are_much_too_long_and_falls_after() -> None:
    weight = torch.from_numpy(RNG.normal(size=(6, 40)))
    own = BoundedStep(weight, given_steps(weight, 0.2), 127, 30)
    begin = own.step().detach().numpy().copy()
    own.steps()[0].data -= 3  # the steps shrink, lengths grow twentyfold
    for _ in range(3):
        own.advance(0.0)
    risen = own.range_factor
    assert 0 < risen <= 0.03
    np.testing.assert_allclose(own.step().detach().numpy(), begin * np.exp(risen - 3), rtol=1e-6)
    own.steps()[0].data += 3
    own.advance(0.0)
    assert own.range_factor < risen
    for _ in range(20):
        own.advance(0.0)
    assert own.range_factor == 0.0


def test_trained_weights_are_certified_for_the_narrow_accumulator() -> None:
    model, _ = network()
    samples = drawn(model, 192)
    asked = method("overflow_aware", epochs=1, lr=Fraction(1, 5000), distill=True)
    who = pupil(model, samples, asked, Precision(wbits=8, abits=8), accumulator="int16")
    signed, roots = stored_params(model.graph, who.table), range_root(model.graph)
    found, memory = train(who, samples)
    assert found.training is not None
    assert found.training.kept
    assert {row.layer for row in found.weights} == {node.name for node in layer_nodes(model.graph)}
    for node in layer_nodes(model.graph):
        (row,) = [row for row in found.weights if row.layer == node.name]
        x = signed[Form(roots[node.x], 8)]
        bound = accumulator_bound(memory.store.get(row.q), 8, signed=x.signed)
        assert bound.max() <= LIMITS["int16"]
        assert np.abs(memory.store.get(row.q)).max() > 0
    assert min(found.training.errors) < 0.2  # 0.78 where outputs are not settled
