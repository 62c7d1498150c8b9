"""Weights over a few levels: soft while they are trained, exactly those levels in the end."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from hawqlang.arith.width import level_bits
from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.interpret import logits as integer_logits
from hawqlang.ops import Conv2d
from hawqlang.stages.finetune import begins_afresh, network_of
from hawqlang.stages.finetune.levels import NearestLevel
from hawqlang.stages.finetune.mean_field import MeanField
from hawqlang.stages.float_model import preprocess
from hawqlang.stages.lower import LowerSettings, Tuned, lower
from hawqlang.stages.quantize import QuantizedWeight, quantize_weight
from hawqlang.stages.simulate import Simulation
from tests.unit.stages.finetune.lesson_nets import KIND, drawn, method, network, pupil, train

RNG = np.random.default_rng(0)
RATE = Fraction(1, 2000)


def test_levels_know_their_bits() -> None:
    sets = ([-1, 1], [-1, 0, 1], [0, 1], [-3, 3], [-4, -1, 0, 1, 4], [-2, 2], [-8, 7])
    assert [level_bits(levels) for levels in sets] == [1, 2, 2, 3, 4, 3, 5]


@pytest.mark.parametrize("levels", [(-1, 1), (-1, 0, 1), (-4, -1, 0, 1, 4)])
def test_a_certain_weight_is_the_deployed_one(levels: tuple[int, ...]) -> None:
    weight = torch.from_numpy(RNG.normal(size=(5, 3, 2, 2)))
    own = MeanField(weight, levels)
    found = own.exported()
    assert set(np.unique(found.q)) <= set(levels)
    soft = own.real().detach().numpy()
    assert np.abs(soft - found.real()).max() > 1e-3
    own.advance(1.0)
    np.testing.assert_allclose(own.real().detach().numpy(), found.real(), atol=1e-6)


def test_binary_weights_begin_as_signs_as_large_as_the_float_weights() -> None:
    weight = RNG.normal(size=(4, 9))
    for kind in (MeanField, NearestLevel):
        own = kind(torch.from_numpy(weight), (-1, 1)).exported()
        np.testing.assert_array_equal(own.q, np.where(weight < 0, -1, 1))
        np.testing.assert_allclose(own.scale, np.sqrt((weight**2).mean(1)), rtol=1e-6)
    plain = quantize_weight(weight, 1)
    np.testing.assert_array_equal(plain.q, own.q)
    np.testing.assert_allclose(plain.scale, np.abs(weight).mean(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("levels", "most"),
    [((-1, 1), 0.02), ((-1, 0, 1), 0.02), ((-4, -1, 0, 1, 4), 0.02), ((-2, -1, 0, 1), 0.3)],
)
def test_levels_emerge_from_the_float_weight(levels: tuple[int, ...], most: float) -> None:
    weight = torch.from_numpy(RNG.uniform(-1, 1, size=(5, 3, 3, 3)))
    own = MeanField(weight, levels)
    off = (own.real().detach() - weight).square().sum() / weight.square().sum()
    assert float(off) < most
    if levels[0] == -levels[-1]:
        hard = torch.from_numpy(own.exported().real()) - weight
        assert float(off) < float(hard.square().sum() / weight.square().sum())


@pytest.mark.parametrize("levels", [(-1, 1), (-1, 0, 1), (-4, -1, 0, 1, 4)])
def test_straight_through_weights_are_always_the_deployed_ones(levels: tuple[int, ...]) -> None:
    weight = torch.from_numpy(RNG.normal(size=(5, 3, 2, 2)))
    own = NearestLevel(weight, levels)
    found = own.exported()
    assert set(np.unique(found.q)) <= set(levels)
    np.testing.assert_allclose(own.real().detach().numpy(), found.real(), rtol=1e-12)
    own.real().square().sum().backward()
    assert all(leaf.grad is not None and bool(leaf.grad.any()) for leaf in own.steps())


@pytest.mark.parametrize("kind", [MeanField, NearestLevel])
def test_a_channel_that_is_all_zero_has_finite_gradients(
    kind: type[MeanField | NearestLevel],
) -> None:
    own = kind(torch.tensor([[0.0, 0.0, 0.0], [0.4, -0.6, 0.0]]), (-1, 0, 1))
    own.advance(1.0)
    np.testing.assert_array_equal(own.exported().q[0], 0)
    (own.real() - torch.tensor([[0.3, -0.3, 0.3], [0.4, -0.6, 0.0]])).square().sum().backward()
    for leaf in (*own.weights(), *own.steps()):
        assert leaf.grad is not None
        assert bool(torch.isfinite(leaf.grad).all())


def test_gradients_move_a_weight_to_another_level() -> None:
    own = MeanField(torch.tensor([[0.4, -0.6, 0.5]]), (-1, 1))
    optimizer = torch.optim.Adam([*own.weights(), *own.steps()], 0.05)
    for k in range(400):
        own.advance(k / 400)
        loss = (own.real() - torch.tensor([[-0.5, 0.5, 0.5]])).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = own.exported()
    np.testing.assert_array_equal(found.q, [[-1, 1, 1]])
    np.testing.assert_allclose(found.scale, [0.5], rtol=0.1)


def test_a_channel_of_zeros_has_a_scale() -> None:
    found = quantize_weight(np.zeros((2, 3)), 1)
    np.testing.assert_array_equal(found.scale, [1.0, 1.0])


@pytest.mark.parametrize(
    ("levels", "bits"), [((-1, 1), 1), ((-1, 0, 1), 2), ((-4, -1, 0, 1, 4), 4)]
)
def test_a_network_of_levels_is_lowered_as_it_was_trained(
    levels: tuple[int, ...], bits: int
) -> None:
    model, store = network()
    samples = drawn(model, 128)
    asked = method("mean_field", epochs=2, levels=levels, lr=RATE, distill=True)
    who = pupil(model, samples, asked, Precision(wbits=bits, abits=8))
    found, memory = train(who, samples)
    assert found.training is not None
    assert found.training.kept
    own = memory.store
    weights = {
        row.layer: QuantizedWeight(own.get(row.q), own.get(row.scale)) for row in found.weights
    }
    biases = {row.layer: own.get(row.bias) for row in found.biases}
    for name in ("c2", "c3"):
        assert set(np.unique(weights[name].q)) <= set(levels)
    assert len(np.unique(weights["fc"].q)) > len(levels)  # at 8 bits it learns on its own grid
    program, _ = lower(
        model.graph,
        who.table.with_rows(found.ranges),
        who.deployment.precision,
        LowerSettings(KIND, who.deployment.settings, 8),
        store,
        Tuned(biases=biases, weights=weights),
    )
    deployed = Simulation(
        model,
        who.table.with_rows(found.ranges),
        replace(who.deployment, weights=weights, biases=biases),
    )
    with torch.inference_mode():
        simulated = deployed.run(preprocess(samples.images, KIND)).argmax(1).numpy()
    answers = integer_logits(program, store, samples.images).argmax(1)
    assert (answers == simulated).mean() > 0.97
    for op in program.ops:
        if isinstance(op, Conv2d) and op.name != "c1":
            assert op.weight_bits == bits
            assert op.weight.shape == (-(-6 * 54 * bits // 8),)


def test_binary_weights_learn_the_task() -> None:
    model, _ = network()
    samples = drawn(model, 256)
    asked = method("mean_field", epochs=24, levels=(-1, 1), lr=RATE, distill=True)
    found, _ = train(pupil(model, samples, asked, Precision(wbits=1, abits=8)), samples)
    assert found.training is not None
    assert min(found.training.errors) < 0.1 * found.training.errors[0]


@pytest.mark.parametrize(
    ("levels", "bits", "said"),
    [((-1, 0, 1), 1, "'c2' has 1"), ((-1, 1), 4, "no layer has weights of 1 bits")],
)
def test_levels_that_do_not_belong_to_the_bits_are_refused(
    levels: tuple[int, ...], bits: int, said: str
) -> None:
    model, _ = network()
    samples = drawn(model, 32)
    who = pupil(model, samples, method("mean_field", levels=levels), Precision(wbits=bits, abits=8))
    with pytest.raises(HawqError, match="HQ453") as error:
        train(who, samples)
    assert said in error.value.diagnostics[0].message


def test_layers_beside_levels_that_do_not_learn_are_trained_as_they_are_deployed() -> None:
    model, _ = network()
    samples = drawn(model, 64)
    asked = method("mean_field", epochs=1, levels=(-1, 1), lr=RATE)
    who = pupil(model, samples, asked, Precision(wbits=1, abits=8))
    settings = dict(who.deployment.settings)
    settings["fc"] = settings["fc"].replace(finetune=None)
    fitted = quantize_weight(model.parameters["fc.weight"].numpy() * 1.5, 8)
    deployment = replace(
        who.deployment, settings=settings, weights={"fc": fitted}, biases={"c2": np.ones(6)}
    )
    learner = network_of(replace(who, deployment=deployment), asked)
    assert learner.weights["fc"] is fitted
    own = model.parameters["c2.bias"].numpy()
    np.testing.assert_allclose(learner.biases["c2"].detach().numpy(), own, atol=0.05)
    assert begins_afresh(who.deployment.settings.values())
    assert not begins_afresh(settings.values())
