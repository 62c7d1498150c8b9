"""Fine-tuning keeps what helps on samples it was not trained on, and goes on where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.cache import Cache
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import Finetune
from hawqlang.ir.tuning import Tuning
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.finetune import Pupil
from hawqlang.stages.float_model import preprocess
from hawqlang.stages.memory import Memory
from hawqlang.stages.quantize import QuantizedWeight
from hawqlang.stages.simulate import Simulation
from tests.unit.stages.finetune.lesson_nets import (
    KIND,
    W2A3,
    drawn,
    method,
    network,
    pupil,
    train,
)

MODEL, _ = network()
SAMPLES = drawn(MODEL, 192)
FAST = Fraction(1, 500)


def accuracy(who: Pupil, tuning: Tuning, memory: Memory) -> float:
    """Top-1 of the deployed network on other samples of the same kind."""
    store = memory.store
    deployment = replace(
        who.deployment,
        weights={
            row.layer: QuantizedWeight(store.get(row.q), store.get(row.scale))
            for row in tuning.weights
        },
        biases={row.layer: store.get(row.bias) for row in tuning.biases},
    )
    simulation = Simulation(who.model, who.table.with_rows(tuning.ranges), deployment)
    others = drawn(MODEL, 400)
    with torch.inference_mode():
        found = simulation.run(preprocess(others.images, KIND)).argmax(1).numpy()
    return float((found == others.labels)[192:].mean())


@pytest.mark.parametrize("distill", [False, True])
def test_training_makes_a_coarse_network_better(distill: bool) -> None:
    who = pupil(MODEL, SAMPLES, method(epochs=6, distill=distill, lr=FAST))
    found, memory = train(who, SAMPLES)
    assert found.training is not None
    assert found.training.kept
    assert found.training.errors[found.training.best] == min(found.training.errors)
    assert min(found.training.errors) < 0.8 * found.training.errors[0]
    assert accuracy(who, found, memory) > accuracy(who, Tuning(), memory) + 0.05
    assert found.training.trained + found.training.held_out == len(SAMPLES)


def test_harmful_training_is_dropped_and_told() -> None:
    told: list[Diagnostic] = []
    who = pupil(MODEL, SAMPLES, method(epochs=1, lr=Fraction(10)))
    found, _ = train(who, SAMPLES, feedback=Feedback(report=told.append))
    assert [d.code for d in told] == ["HQ451"]
    assert found.training is not None
    assert not found.training.kept
    assert found.replace(training=None) == Tuning()


def test_the_same_seed_gives_the_same_network() -> None:
    who = pupil(MODEL, SAMPLES, method(epochs=1, lr=FAST))
    (first, _), (second, _) = train(who, SAMPLES), train(who, SAMPLES)
    assert first == second


W1A8, W8A8 = Precision(wbits=1, abits=8), Precision(wbits=8, abits=8)


@pytest.mark.parametrize(
    ("asked", "inner", "settings"),
    [
        (method(epochs=3, lr=FAST), W2A3, {}),
        (method(epochs=3, lr=FAST), W2A3, {"weights": {"scheme": "affine"}}),
        (method("mean_field", epochs=3, levels=(-1, 1), distill=True), W1A8, {}),
        (method(epochs=3, levels=(-1, 1), distill=True), W1A8, {}),
        (method("overflow_aware", epochs=3), W8A8, {"accumulator": "int16"}),
    ],
    ids=["qat", "affine", "mean-field", "straight", "narrow"],
)
def test_a_killed_training_goes_on_after_its_last_epoch(
    tmp_path: Path, asked: Finetune, inner: Precision, settings: dict[str, object]
) -> None:
    who = pupil(MODEL, SAMPLES, asked, inner, residual=8, **settings)
    straight, _ = train(who, SAMPLES)
    memory = Memory(Cache(tmp_path), "test")
    steps: list[int] = []

    def stop(done: int, total: int) -> None:
        steps.append(done)
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(who, SAMPLES, memory, Feedback(progress=stop))
    assert steps[0] == 1
    resumed: list[int] = []
    found, _ = train(who, SAMPLES, memory, Feedback(progress=lambda done, _: resumed.append(done)))
    assert resumed[0] > 1
    assert found == straight


def test_samples_without_labels_are_refused() -> None:
    who = pupil(MODEL, SAMPLES, method())
    with pytest.raises(HawqError, match="HQ450"):
        train(who, drawn(MODEL, 16, labelled=False))


def test_layers_that_disagree_are_refused() -> None:
    who = pupil(MODEL, SAMPLES, method())
    settings = dict(who.deployment.settings)
    settings["c2"] = settings["c2"].replace(finetune=method(epochs=9))
    with pytest.raises(HawqError, match="HQ452"):
        train(replace(who, deployment=replace(who.deployment, settings=settings)), SAMPLES)


def test_a_layer_can_be_left_out() -> None:
    who = pupil(MODEL, SAMPLES, method(epochs=2, lr=FAST))
    settings = dict(who.deployment.settings)
    settings["fc"] = settings["fc"].replace(finetune=None)
    found, _ = train(replace(who, deployment=replace(who.deployment, settings=settings)), SAMPLES)
    assert {row.layer for row in found.weights} == {"c1", "c2", "c3"}


def test_weights_of_a_step_before_stay_where_nothing_learns() -> None:
    who = pupil(MODEL, SAMPLES, method())
    settings = {n: own.replace(finetune=None) for n, own in who.deployment.settings.items()}
    before = Tuning(kept=True)
    found, _ = train(replace(who, deployment=replace(who.deployment, settings=settings)), SAMPLES)
    assert found == Tuning()
    assert before != found


def test_learned_ranges_replace_calibrated_ones_alone() -> None:
    who = pupil(MODEL, SAMPLES, method())
    row = who.table.ranges[2]
    table = who.table.with_rows((row.replace(high=9.0),))
    assert table.find(row.tensor, row.bits).high == 9.0
    others = [r for r in table.ranges if (r.tensor, r.bits) != (row.tensor, row.bits)]
    assert others == [r for r in who.table.ranges if r != row]
    np.testing.assert_equal(len(table.ranges), len(who.table.ranges))
