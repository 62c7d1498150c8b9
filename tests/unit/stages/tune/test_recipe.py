"""The sequential closed form on whole networks: what it gains, what it refuses, how it resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.cache import Cache, TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Conv2d, Graph
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import ActivationSettings, Automatic, WeightSettings
from hawqlang.ir.tuning import FittedLayer, Tuning
from hawqlang.stages.batches import stream_of
from hawqlang.stages.calibrate import calibrate, range_requests
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune import (
    Effort,
    Memory,
    Subject,
    fit,
    moments,
    recipe,
    reference,
    replay,
    sequential,
)
from hawqlang.stages.tune.moments import Moments
from hawqlang.stages.tune.recipe import Chosen, bench, close_form
from hawqlang.stages.tuned_weights import given_weight
from tests.unit.stages.nets import Net, fire_net, residual_net

W3A4, W8A8 = Precision(wbits=3, abits=4), Precision(wbits=8, abits=8)
QUIET = Feedback()
FAST = Effort()


def images(n: int, seed: int = 0) -> torch.Tensor:
    """Smooth images: neighbouring pixels are correlated, as those of real ones are."""
    noise = torch.randn(n, 3, 11, 11, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 4, 1) * 3
    return smooth.clamp(-2, 2.5)


def subject(
    net: tuple[Graph, TensorStore],
    x: torch.Tensor,
    precision: Precision = W3A4,
    *,
    nearest: Sequence[str] = (),
    weights: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Subject:
    model = FloatModel(*net)
    act = ActivationSettings(range=Automatic())
    names = [node.name for node in layer_nodes(model.graph)]
    layers = {
        n: LayerSettings(
            layer=n,
            precision=(precision,),
            activations=act,
            weights=WeightSettings(
                rounding="nearest" if n in nearest else "adaptive", **dict(weights)
            ),
            **settings,
        )
        for n in names
    }
    table = ranges_of(model, layers)
    deployment = Deployment(dict.fromkeys(names, precision), layers)
    return Subject(model, table, deployment, stream_of(x))


def ranges_of(model: FloatModel, layers: Any) -> RangeTable:
    act = ActivationSettings(range=Automatic())
    requests = range_requests(model.graph, layers, act, 8, QUIET.report)
    return calibrate(
        model, stream_of(images(32)), requests, interval=(-2.0, 2.5), default=act, feedback=QUIET
    )


def hard(own: Subject, seed: int = 0) -> Effort:
    """`effort = best`."""
    return Effort(lambda model: ranges_of(model, own.deployment.settings), seed)


def fresh() -> Memory:
    return Memory(Cache(None), "test")


def simulated(own: Subject, tuning: Tuning, store: TensorStore) -> Simulation:
    """The network as lowering will take it."""
    deployment = Deployment(
        own.deployment.precision,
        own.deployment.settings,
        biases={row.layer: store.get(row.bias) for row in tuning.biases},
        weights={row.layer: given_weight(store, row) for row in tuning.weights},
    )
    return Simulation(own.model, own.table.with_rows(tuning.ranges), deployment)


def error_on(own: Subject, simulation: Simulation, x: torch.Tensor) -> float:
    return replay.logit_error(simulation.run(x), own.model.forward(x))


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_the_recipe_brings_unseen_samples_closer_to_the_float_network(make: Any) -> None:
    own, memory = subject(make(), images(128)), fresh()
    tuning = fit(own, memory, QUIET, FAST)
    plain = Simulation(own.model, own.table, own.deployment)
    unseen = images(64, seed=9)
    assert tuning.kept
    assert tuning.error_before is not None
    assert tuning.error_after is not None
    assert tuning.error_after < 0.7 * tuning.error_before
    assert error_on(own, simulated(own, tuning, memory.store), unseen) < 0.7 * error_on(
        own, plain, unseen
    )


@pytest.mark.parametrize("best", [False, True])
def test_every_kept_attempt_is_better_than_all_before_it(
    best: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawqlang.stages.tune.distil.STEPS", 20)
    own, memory = subject(residual_net(), images(64)), fresh()
    tuning = fit(own, memory, QUIET, hard(own) if best else FAST)
    least = float("inf")
    for trial in tuning.trials:
        if trial.kept or not {"reconstructed", "distilled"} & set(trial.corrections):
            assert trial.kept == (trial.error < least)
        least = min(least, trial.error) if trial.kept else least
    assert tuning.error_after == least
    held = images(64)[replay.held_out(64)]
    got = simulated(own, tuning, memory.store).run(held)
    error = replay.divergence(got, own.model.forward(held))
    # The last fit has seen these samples; without it they are as far off as the trial says.
    kept = next(trial for trial in reversed(tuning.trials) if trial.kept)
    assert tuning.pooled == (not {"reconstructed", "distilled"} & set(kept.corrections))
    assert error < least if tuning.pooled else error == pytest.approx(least, rel=1e-4)


def as_chosen(chosen: Chosen, *_: Any) -> Chosen:
    """No last fit."""
    return chosen


def test_a_last_fit_on_all_samples_takes_the_steps_that_were_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipe, "ATTEMPTS", recipe.ATTEMPTS[:3])
    own, memory, unseen = subject(residual_net(), images(64)), fresh(), images(128, seed=9)
    tuning = fit(own, memory, QUIET, FAST)
    monkeypatch.setattr("hawqlang.stages.tune.pool", as_chosen)
    before = fit(own, memory, QUIET, FAST)
    assert (tuning.pooled, before.pooled) == (True, False)
    assert (tuning.fitted, tuning.held_out, tuning.trials) == (48, 16, before.trials)
    assert [row.kept for row in tuning.layers] == [row.kept for row in before.layers]
    assert [row.error_after for row in tuning.layers] == [row.error_after for row in before.layers]
    changed = [a.layer for a, b in zip(tuning.layers, before.layers, strict=True) if a != b]
    assert changed == [row.layer for row in before.layers if row.kept]
    got, plain = (
        error_on(own, simulated(own, found, memory.store), unseen) for found in (tuning, before)
    )
    assert got < plain


def test_a_last_fit_that_does_harm_is_not_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(a: Moments, b: Moments) -> Moments:
        return replace(moments.pooled(a, b), y=a.y + 3.0)

    own, memory = subject(residual_net(), images(64)), fresh()
    monkeypatch.setattr("hawqlang.stages.tune.pool", as_chosen)
    before = fit(own, memory, QUIET, FAST)
    monkeypatch.undo()
    monkeypatch.setattr(sequential, "pooled", shifted)
    assert fit(own, memory, QUIET, FAST) == before


def test_a_layer_that_completes_a_sum_makes_up_for_what_is_added_to_it() -> None:
    own = subject(residual_net(), images(64))
    with torch.inference_mode():
        ready = bench(own.model, own.table, own.deployment, own.samples)
        assert ready is not None
        assert {name: s.other for name, s in ready.reference.sums.items()} == {
            "b1.conv2": "stem.relu",
            "b2.conv2": "b2.pad",
        }
        walk = ready.replay.again(ready.simulation())
        nodes = own.model.graph.nodes
        number = [node.name for node in nodes].index("b1.conv2")
        for node in nodes[:number]:
            walk.advance(node)
        layer = nodes[number]
        assert isinstance(layer, Conv2d)
        fitted, judged = sequential.observe(walk, ready.reference, layer, whole=True)
        key = walk.simulation.addend(ready.reference.sums["b1.conv2"].add, "stem.relu")
        added = walk.stored(key, slice(None))
        seen: dict[str, torch.Tensor] = {}

        def see(name: str, x: torch.Tensor) -> torch.Tensor:
            seen[name] = x.clone()
            return x

        own.model.run(images(64), intercept=see)
    wanted = seen["b1.add"] - added
    held = replay.held_out(64)
    for found, some in ((fitted, ~held), (judged, held)):
        np.testing.assert_allclose(found.y[0], wanted[some].mean((0, 2, 3)), atol=1e-5)
    assert float((wanted - seen["b1.conv2"]).abs().max()) > 0


@pytest.mark.parametrize("harmful", [True, False])
def test_sums_are_targets_only_where_that_does_held_out_samples_good(
    harmful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = sequential.observe

    def seen(*arguments: Any, whole: bool) -> tuple[Moments, Moments]:
        fitted, judged = observe(*arguments, whole=whole)
        shift = 3.0 if whole == harmful else 0.0
        return replace(fitted, y=fitted.y + shift), replace(judged, y=judged.y + shift)

    monkeypatch.setattr(sequential, "observe", seen)
    tuning = fit(subject(residual_net(), images(64)), fresh(), QUIET, FAST)
    kept = [trial.corrections for trial in tuning.trials if trial.kept][-1]
    assert ("sums" in kept) is not harmful


def test_without_sums_nothing_is_tried_for_them() -> None:
    net = Net((3, 8, 8))
    stem = net.relu("relu", net.conv("stem", "x", 4))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", stem)), 5)
    tuning = fit(subject((net.graph(logits), net.store), images(32)), fresh(), QUIET, FAST)
    tried = [trial.corrections for trial in tuning.trials]
    assert len(tried) == len(set(tried)) == 4
    assert not any("sums" in corrections for corrections in tried)


def test_two_branches_of_a_sum_are_fitted_to_their_own_output_and_to_the_rest() -> None:
    net = Net((3, 8, 8))
    stem = net.relu("stem.relu", net.conv("stem", "x", 4))
    left, right = net.conv("left", stem, 4), net.conv("right", stem, 4)
    both = net.relu("relu", net.add("add", left, right))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", both)), 5)
    own, memory = subject((net.graph(logits), net.store), images(96)), fresh()
    found = reference.joined(own.model.graph)
    assert {name: s.other for name, s in found.items()} == {"right": "left"}
    tuning = fit(own, memory, QUIET, FAST)
    unseen = images(64, seed=9)
    got, plain = (
        error_on(own, simulated(own, t, memory.store), unseen) for t in (tuning, Tuning())
    )
    assert got < 0.7 * plain


def test_a_correction_that_does_harm_on_held_out_samples_is_dropped() -> None:
    x = images(64)
    # Samples to fit on that say nothing of the held-out ones: constant images of one colour.
    x[~replay.held_out(64)] = torch.tensor([2.5, -2.0, 2.5])[:, None, None]
    own, memory = subject(residual_net(), x, W8A8), fresh()
    said: list[Diagnostic] = []
    with torch.inference_mode():
        ready = bench(own.model, own.table, own.deployment, own.samples)
        assert ready is not None
        chosen = close_form(ready, memory, Feedback(report=said.append))
    for row in chosen.layers:
        assert row.error_after <= row.error_before
    trials = ready.trials
    assert [d.code for d in said] == ["HQ432"] * sum(not t.kept for t in trials[1:])
    assert any(not t.kept for t in trials)


def test_a_planted_harmful_step_is_refused_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(weight: torch.Tensor, h: torch.Tensor, yx: torch.Tensor) -> torch.Tensor:
        del h, yx
        return -weight

    monkeypatch.setattr(sequential, "refit", bad)
    own, memory = subject(residual_net(), images(64)), fresh()
    tuning = fit(own, memory, QUIET, FAST)
    assert tuning.kept
    assert not any("refit" in row.kept for row in tuning.layers)


def test_an_attempt_that_spoils_the_network_is_refused_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sequential, "ORDER", ("bias",))

    def shifted(own: Moments, weight: torch.Tensor) -> torch.Tensor:
        del weight
        return own.y + 3.0

    def flattered(own: Moments, weight: torch.Tensor, bias: torch.Tensor) -> float:
        del own, weight
        return -float(bias.sum())

    monkeypatch.setattr(Moments, "bias", shifted)
    monkeypatch.setattr(Moments, "error", flattered)
    own = subject(residual_net(), images(64))
    said: list[Diagnostic] = []
    tuning = fit(own, fresh(), Feedback(report=said.append), FAST)
    assert (tuning.kept, tuning.biases, tuning.weights, tuning.layers) == (False, (), (), ())
    assert {d.code for d in said} == {"HQ432"}


def test_too_few_samples_leave_the_network_as_it_is() -> None:
    said: list[Diagnostic] = []
    tuning = fit(subject(residual_net(), images(7)), fresh(), Feedback(report=said.append), FAST)
    assert tuning == Tuning()
    assert [d.code for d in said] == ["HQ431"]


def test_eight_samples_are_enough_and_never_end_worse() -> None:
    own, memory = subject(residual_net(), images(8)), fresh()
    tuning = fit(own, memory, QUIET, FAST)
    assert (tuning.fitted, tuning.held_out) == (6, 2)
    assert tuning.trials[0].error >= min(t.error for t in tuning.trials)


def test_layers_that_are_rounded_to_nearest_keep_their_integers() -> None:
    own = subject(residual_net(), images(64), nearest=["stem", "b1.conv1"])
    tuning = fit(own, fresh(), QUIET, FAST)
    changed = {row.layer for row in tuning.weights}
    assert changed
    assert not changed & {"stem", "b1.conv1"}


def test_without_bias_correction_biases_stay() -> None:
    own, memory = subject(residual_net(), images(64), bias_correction=False), fresh()
    tuning = fit(own, memory, QUIET, FAST)
    assert [t.corrections for t in tuning.trials] == [
        (),
        ("bias", "rounding", "scales", "sums"),
        ("bias", "rounding", "scales", "refit", "sums"),
        ("bias", "rounding", "scales", "refit"),
    ]
    plain = Simulation(own.model, own.table, own.deployment)
    nodes = {node.name: node for node in layer_nodes(own.model.graph)}
    assert tuning.biases
    for row in tuning.biases:
        np.testing.assert_allclose(
            memory.store.get(row.bias), plain.own_bias(nodes[row.layer]), atol=1e-12
        )


def test_a_narrow_accumulator_is_kept_to() -> None:
    net = Net((3, 8, 8))
    mid = net.relu("mid.relu", net.conv("mid", "x", 4))
    wide = net.relu("wide.relu", net.conv("wide", mid, 64, 1))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", wide)), 5)
    made = (net.graph(logits), net.store)
    own, memory = (
        subject(made, images(64), Precision(wbits=4, abits=8), accumulator="int16"),
        fresh(),
    )
    tuning = fit(own, memory, QUIET, FAST)
    for row in tuning.weights:
        q = memory.store.get(row.q).astype(np.int64)
        sums = np.abs(q).reshape(q.shape[0], -1).sum(1) * 255
        assert (sums <= 2**15 - 1).all()


def test_integers_beyond_eight_bits_are_kept_whole() -> None:
    own, memory = subject(residual_net(), images(64), Precision(wbits=12, abits=4)), fresh()
    tuning = fit(own, memory, QUIET, FAST)
    real = {n.name: own.model.parameters[n.weight].numpy() for n in layer_nodes(own.model.graph)}
    assert tuning.weights
    for row in tuning.weights:
        found = given_weight(memory.store, row)
        assert int(np.abs(found.q).max()) > 127
        assert np.corrcoef(found.real().ravel(), real[row.layer].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("best", [False, True])
def test_the_same_samples_give_the_same_bytes(best: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hawqlang.stages.tune.distil.STEPS", 10)
    own = subject(fire_net(), images(32))
    effort = hard(own, seed=3) if best else FAST
    first = fit(own, fresh(), QUIET, effort)
    again = fit(subject(fire_net(), images(32)), fresh(), QUIET, effort)
    assert first == again
    assert len(first.trials) == (8 if best else 4)


def test_a_killed_fit_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(subject(residual_net(), images(64)), fresh(), QUIET, FAST)
    memory = fresh()
    own = sequential.fit_layer
    fitted: list[str] = []

    def counted(*arguments: Any) -> FittedLayer:
        if len(fitted) == 9:
            raise KeyboardInterrupt
        fitted.append(arguments[2].name)
        return own(*arguments)

    monkeypatch.setattr(sequential, "fit_layer", counted)
    with pytest.raises(KeyboardInterrupt):
        fit(subject(residual_net(), images(64)), memory, QUIET, FAST)

    def noted(*arguments: Any) -> FittedLayer:
        fitted.append(arguments[2].name)
        return own(*arguments)

    monkeypatch.setattr(sequential, "fit_layer", noted)
    resumed = fit(subject(residual_net(), images(64)), memory, QUIET, FAST)
    assert resumed == whole
    assert resumed.pooled
    assert len(fitted) == 4 * 6  # four attempts, six layers: none was fitted twice


def test_float_targets_are_kept_for_as_many_layers_as_the_bound_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = subject(residual_net(), images(32))
    with torch.inference_mode():
        wide = reference.Reference(own.model, own.samples)
        nodes = layer_nodes(own.model.graph)
        targets = [wide.outputs(node).clone() for node in nodes]
        assert wide.passes == 1
        monkeypatch.setattr(reference, "BYTES", 4 * 32 * 4 * 64)
        narrow = reference.Reference(own.model, own.samples)
        for node, target in zip(nodes, targets, strict=True):
            np.testing.assert_array_equal(narrow.outputs(node), target)
            assert sum(t.numel() * 4 for t in narrow.kept.values()) <= reference.BYTES
        assert narrow.passes > 1


def test_columns_are_bounded_whatever_the_image_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "COLUMNS", 320)
    own = subject(residual_net(), images(32))
    found = reference.Reference(own.model, own.samples)
    for node in layer_nodes(own.model.graph):
        assert 1 <= len(found.positions(node)) <= 10


def test_progress_names_the_layers() -> None:
    doing: list[str] = []
    fit(subject(residual_net(), images(16)), fresh(), Feedback(doing=doing.append), FAST)
    assert set(doing) == {"stem", "b1.conv1", "b1.conv2", "b2.conv1", "b2.conv2", "fc"}
