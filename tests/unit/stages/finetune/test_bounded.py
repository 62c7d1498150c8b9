"""Weights for narrow accumulators are within their bound at every moment, and near the float ones."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hawqlang.arith.width import LIMITS, accumulator_bound
from hawqlang.base import Precision
from hawqlang.stages.finetune.bounded import BoundedStep, projected
from hawqlang.stages.quantize import QuantizedWeight, stored_params
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


def test_the_range_factor_rises_while_channels_are_too_long_and_falls_after() -> None:
    weight = torch.from_numpy(RNG.normal(size=(6, 40)))
    given = QuantizedWeight(np.zeros((6, 40), np.int8), np.linspace(0.1, 0.2, 6))
    own = BoundedStep(weight, given, 7, 30)
    begin = own.step().detach().numpy().copy()
    np.testing.assert_allclose(begin, np.maximum(given.scale, weight.abs().sum(1).numpy() / 30))
    for _ in range(3):
        own.advance(0.0)
    risen = own.range_factor
    assert 0 < risen <= 0.03
    loose = BoundedStep(weight, given, 7, 10_000)
    loose.advance(0.0)
    assert loose.range_factor == 0.0
    np.testing.assert_allclose(own.step().detach().numpy(), begin * np.exp(risen), rtol=1e-6)


def test_trained_weights_are_certified_for_the_narrow_accumulator() -> None:
    model, _ = network()
    samples = drawn(model, 192)
    asked = method("overflow_aware", epochs=3, lr=Fraction(1, 500))
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
    assert min(found.training.errors) < found.training.errors[0]
