"""Affine and grouped weights are trained on the integers that they are deployed with."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from hawqlang.arith.width import LIMITS, accumulator_bound
from hawqlang.base import Precision
from hawqlang.interpret import logits as integer_logits
from hawqlang.ir.spec import GroupSize
from hawqlang.stages.finetune import network_of
from hawqlang.stages.finetune.bounded import BoundedStep, projected
from hawqlang.stages.finetune.quantizers import LearnedStep
from hawqlang.stages.float_model import preprocess
from hawqlang.stages.lower import LowerSettings, Tuned, lower
from hawqlang.stages.quantize import DEFAULT_GRID, WeightGrid, quantize_weight, stored_params
from hawqlang.stages.simulate import Simulation
from hawqlang.stages.structure import Form, layer_nodes, range_root
from hawqlang.stages.tuned_weights import given_weight
from tests.unit.stages.finetune.lesson_nets import KIND, drawn, method, network, pupil, train

RNG = np.random.default_rng(0)
W4A4, W8A8 = Precision(wbits=4, abits=4), Precision(wbits=8, abits=8)
AFFINE = {"scheme": "affine"}
GROUPS = {"granularity": {"size": 4}}
KINDS = pytest.mark.parametrize(
    "weights", [AFFINE, GROUPS, AFFINE | GROUPS], ids=["affine", "groups", "both"]
)


def disturbed(leaves: list[torch.Tensor]) -> None:
    """Move everything that learns, as training would."""
    generator = torch.Generator().manual_seed(0)
    for leaf in leaves:
        leaf.data += 0.1 * torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)


@pytest.mark.parametrize("size", [0, 2])
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
def test_training_begins_with_the_weight_rounded_to_nearest(scheme: str, size: int) -> None:
    weight = RNG.normal(size=(5, 7, 3, 3))
    given = quantize_weight(
        weight,
        4,
        granularity=GroupSize(size=size) if size else "per_channel",
        grid=WeightGrid("affine") if scheme == "affine" else DEFAULT_GRID,
    )
    own = LearnedStep(torch.from_numpy(weight), given, 7)
    found = own.exported()
    np.testing.assert_array_equal(found.q, given.q)
    np.testing.assert_array_equal(found.integers(), given.integers())
    np.testing.assert_allclose(own.real().detach().numpy(), given.real(), rtol=1e-12)


@KINDS
def test_what_is_trained_is_what_is_deployed(weights: dict[str, object]) -> None:
    model, store = network()
    samples = drawn(model, 48)
    who = pupil(model, samples, method(), W4A4, residual=8, weights=weights)
    learner = network_of(who, method())
    disturbed(learner.leaves())
    integers, biases = learner.exported_weights(), learner.exported_biases()
    assert all((w.zero is not None) == ("scheme" in weights) for w in integers.values())
    assert (integers["c2"].multiple is not None) == ("granularity" in weights)
    for name, own in integers.items():
        top = 2 ** (who.deployment.precision[name].wbits - 1)
        assert own.q.min() >= -top
        assert own.q.max() <= top - 1
    table = who.table.with_rows(learner.exported_ranges())
    deployment = replace(who.deployment, weights=integers, biases=biases)
    x = preprocess(samples.images, KIND)
    with torch.no_grad():
        trained = learner.run(x)
        simulated = Simulation(model, table, deployment).run(x)
    same = torch.isclose(trained, simulated, rtol=1e-4, atol=1e-4).all(1)
    assert (
        float(same.double().mean()) >= 0.95
    )  # float32: the other order of a product may break a tie
    program, scales = lower(
        model.graph,
        table,
        who.deployment.precision,
        LowerSettings(KIND, who.deployment.settings, 8),
        store,
        Tuned(biases=biases, weights=integers),
    )
    found = integer_logits(program, store, samples.images) * scales.scale(program.output)
    same = np.isclose(found, trained.numpy(), rtol=1e-3, atol=1e-3).all(axis=1)
    assert same.mean() >= 0.9


@KINDS
def test_training_makes_a_coarse_network_better(weights: dict[str, object]) -> None:
    model, _ = network()
    samples = drawn(model, 192)
    asked = method(epochs=5, lr=Fraction(1, 1500), distill=True)
    who = pupil(model, samples, asked, Precision(wbits=2, abits=3), residual=8, weights=weights)
    found, memory = train(who, samples)
    assert found.training is not None
    assert found.training.kept
    assert min(found.training.errors) < 0.9 * found.training.errors[0]
    assert found.training.layers == len(found.weights) == len(layer_nodes(model.graph))
    given = Simulation(model, who.table, who.deployment).weights
    for row in found.weights:
        own, before = given_weight(memory.store, row), given[row.layer]
        assert own.group == before.group
        for learned, calibrated in ((own.zero, before.zero), (own.multiple, before.multiple)):
            assert (learned is None) == (calibrated is None)
            if learned is not None and calibrated is not None:
                np.testing.assert_array_equal(learned, calibrated)


@pytest.mark.parametrize("longest", [0, 7, 40, 400])
def test_projection_counts_multiples(longest: int) -> None:
    weight = torch.from_numpy(RNG.normal(size=(20, 8, 3, 3)) * 4)
    multiple = torch.from_numpy(RNG.integers(1, 9, (20, 8, 1, 1)).astype(np.float64))
    found = projected(weight, longest, multiple)
    assert torch.equal(found, found.round())
    assert float((found.abs() * multiple).flatten(1).sum(1).max()) <= longest
    assert bool((found * weight >= 0).all())
    if longest == 400:
        short = (weight.round().abs() * multiple).flatten(1).sum(1) <= longest
        assert torch.equal(found[short], weight.round()[short])


@KINDS
def test_sums_of_any_kind_of_weight_are_made_to_fit(weights: dict[str, object]) -> None:
    model, _ = network()
    samples = drawn(model, 64)
    asked = method("overflow_aware", epochs=1, lr=Fraction(1, 500))
    who = pupil(model, samples, asked, W8A8, residual=8, accumulator="int16", weights=weights)
    assert isinstance(network_of(who, asked).quantizers["c2"], BoundedStep)
    signed, roots = stored_params(model.graph, who.table), range_root(model.graph)
    found, memory = train(who, samples)
    rows = {row.layer: given_weight(memory.store, row) for row in found.weights}
    for node in layer_nodes(model.graph):
        whole = rows[node.name].integers()
        bound = accumulator_bound(whole, 8, signed=signed[Form(roots[node.x], 8)].signed)
        assert bound.max() <= LIMITS["int16"]
        assert np.abs(whole).max() > 0
