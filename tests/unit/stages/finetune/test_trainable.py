"""The network in training computes what the deployed one computes, and its gradients are those of the rounding rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.interpret import logits as integer_logits
from hawqlang.ir.spec import Finetune
from hawqlang.stages.finetune import Pupil, network_of
from hawqlang.stages.finetune.quantizers import LearnedStep
from hawqlang.stages.finetune.trainable import Trainable
from hawqlang.stages.float_model import preprocess
from hawqlang.stages.lower import LowerSettings, Tuned, lower
from hawqlang.stages.quantize import QuantizedWeight, quantize_weight, weight_limit
from hawqlang.stages.simulate import Simulation
from hawqlang.stages.structure import LayerNode, layer_nodes
from tests.unit.stages.finetune.lesson_nets import KIND, W2A3, W8A8, drawn, method, network, pupil


def trainable(who: Pupil, dtype: torch.dtype = torch.float64) -> Trainable:
    def begin(node: LayerNode, given: QuantizedWeight, start: torch.Tensor) -> LearnedStep:
        return LearnedStep(start, given, weight_limit(who.deployment.precision[node.name].wbits))

    names = [node.name for node in layer_nodes(who.model.graph)]
    return Trainable(who.model, who.table, who.deployment, names, begin, dtype)


def disturb(network: Trainable) -> None:
    """Move everything that learns, as training would."""
    generator = torch.Generator().manual_seed(0)
    for leaf in network.leaves():
        leaf.data += 0.1 * torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)


def deployed(who: Pupil, network: Trainable, dtype: torch.dtype = torch.float64) -> Simulation:
    deployment = replace(
        who.deployment, weights=network.exported_weights(), biases=network.exported_biases()
    )
    return Simulation(who.model, who.table.with_rows(network.exported_ranges()), deployment, dtype)


@pytest.mark.parametrize("inner", [W2A3, Precision(wbits=4, abits=8), W8A8], ids=str)
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
def test_what_is_trained_is_what_is_deployed(inner: Precision, scheme: str) -> None:
    model, _ = network()
    samples = drawn(model, 24)
    who = pupil(
        model, samples, method(), inner, activations={"scheme": scheme, "range": {"kind": "minmax"}}
    )
    learner = trainable(who)
    x = preprocess(samples.images, KIND).double()
    for moved in (False, True):
        if moved:
            disturb(learner)
        with torch.no_grad():
            trained, simulated = learner.run(x), deployed(who, learner).run(x)
        torch.testing.assert_close(trained, simulated, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("residual", [16, 32])
def test_wide_residual_operands_are_trained_as_they_are_deployed(residual: int) -> None:
    model, _ = network()
    samples = drawn(model, 16)
    who = pupil(model, samples, method(), Precision(wbits=4, abits=4), residual=residual)
    learner = trainable(who)
    disturb(learner)
    x = preprocess(samples.images, KIND).double()
    with torch.no_grad():
        trained, simulated = learner.run(x), deployed(who, learner).run(x)
    torch.testing.assert_close(trained, simulated, rtol=1e-9, atol=1e-9)


def test_before_training_it_is_the_network_rounded_to_nearest() -> None:
    model, _ = network()
    samples = drawn(model, 16)
    who = pupil(model, samples, method())
    x = preprocess(samples.images, KIND).double()
    plain = Simulation(who.model, who.table, who.deployment, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(trainable(who).run(x), plain.run(x), rtol=1e-9, atol=1e-9)


def test_the_integer_program_gives_the_trained_answers() -> None:
    model, store = network()
    samples = drawn(model, 64)
    who = pupil(model, samples, method(), Precision(wbits=4, abits=4))
    learner = trainable(who)
    disturb(learner)
    program, scales = lower(
        model.graph,
        who.table.with_rows(learner.exported_ranges()),
        who.deployment.precision,
        LowerSettings(KIND, who.deployment.settings, 8),
        store,
        Tuned(biases=learner.exported_biases(), weights=learner.exported_weights()),
    )
    found = integer_logits(program, store, samples.images) * scales.scale(program.output)
    with torch.no_grad():
        trained = learner.run(preprocess(samples.images, KIND).double()).numpy()
    same = np.isclose(found, trained, rtol=1e-4, atol=1e-4).all(axis=1)
    assert same.mean() >= 0.95  # a ratio of scales is dyadic there: a tie may fall otherwise


def test_a_step_has_the_gradient_of_learned_step_quantization() -> None:
    weight = torch.tensor([[0.26, -0.81, 0.02, 3.0]], dtype=torch.float64)
    own = LearnedStep(weight, QuantizedWeight(np.zeros((1, 4), np.int8), np.array([0.25])), 7)
    own.real().sum().backward()
    v = weight.numpy() / 0.25
    inside = np.abs(v) <= 7
    per_step = np.where(inside, np.rint(v) - v, 7 * np.sign(v))
    (master,), (log_step,) = own.weights(), own.steps()
    assert master.grad is not None
    assert log_step.grad is not None
    np.testing.assert_array_equal(master.grad.numpy(), inside.astype(float))
    np.testing.assert_allclose(log_step.grad.numpy(), 0.25 * per_step.sum(1))


def test_one_step_for_a_tensor_stays_one() -> None:
    weight = torch.randn((3, 5), generator=torch.Generator().manual_seed(0))
    given = quantize_weight(weight.numpy(), 4, granularity="per_tensor")
    own = LearnedStep(weight, given, 7)
    assert own.steps()[0].shape == (1,)
    found = own.exported()
    np.testing.assert_array_equal(found.q, given.q)
    np.testing.assert_allclose(found.scale, given.scale, rtol=1e-6)


def test_the_range_of_the_input_is_not_learned() -> None:
    model, _ = network()
    who = pupil(model, drawn(model, 8), method())
    learner = trainable(who)
    assert all(form.root != model.graph.input.name for form in learner.log_steps)
    rows = {row.tensor for row in learner.exported_ranges()}
    assert rows == {row.tensor for row in who.table.ranges} - {model.graph.input.name}


def test_every_leaf_gets_a_gradient() -> None:
    model, _ = network()
    samples = drawn(model, 32)
    learner = trainable(pupil(model, samples, method(), Precision(wbits=4, abits=4)))
    learner.run(preprocess(samples.images, KIND).double()).square().sum().backward()
    assert all(leaf.grad is not None and bool(leaf.grad.any()) for leaf in learner.leaves())


def test_layers_that_do_not_learn_keep_their_integers() -> None:
    model, _ = network()
    who = pupil(model, drawn(model, 8), method())

    def begin(node: LayerNode, given: QuantizedWeight, start: torch.Tensor) -> LearnedStep:
        return LearnedStep(start, given, weight_limit(who.deployment.precision[node.name].wbits))

    learner = Trainable(model, who.table, who.deployment, ["c2"], begin)
    disturb(learner)
    assert list(learner.exported_weights()) == list(learner.exported_biases()) == ["c2"]
    x = preprocess(drawn(model, 8).images, KIND)
    with torch.no_grad():
        trained, simulated = learner.run(x), deployed(who, learner, torch.float32).run(x)
    torch.testing.assert_close(trained, simulated, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("asked", "inner", "settings"),
    [
        (method(levels=(-1, 1)), Precision(wbits=1, abits=8), {}),
        (method("overflow_aware"), W8A8, {"accumulator": "int16"}),
    ],
    ids=["levels", "narrow"],
)
def test_layers_that_change_at_once_are_given_outputs_like_the_float_networks(
    asked: Finetune, inner: Precision, settings: dict[str, str]
) -> None:
    model, _ = network()
    samples = drawn(model, 64)
    learner = network_of(pupil(model, samples, asked, inner, residual=8, **settings), asked)
    x = preprocess(samples.images, KIND)
    wanted = model.run(x, keep=[node.output for node in layer_nodes(model.graph)])
    integers = {name: own.q for name, own in learner.exported_weights().items()}

    def error() -> float:
        with torch.no_grad():
            return float((learner.run(x) - wanted.output).square().mean())

    before = error()
    assert {"c2", "c3"} <= set(learner.unsettled())
    learner.settle(x, {name: wanted.kept[name] for name in learner.unsettled()})
    assert error() < 0.7 * before
    for name, own in learner.exported_weights().items():
        np.testing.assert_array_equal(own.q, integers[name])
