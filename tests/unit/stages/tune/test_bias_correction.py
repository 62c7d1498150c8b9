"""Bias correction: what it restores, when it is dropped, and what it may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Conv2d, Graph
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import ActivationSettings, MinMax
from hawqlang.stages import batches
from hawqlang.stages.batches import stream_of
from hawqlang.stages.calibrate import calibrate, range_requests
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune import correct_biases, replay, tune
from hawqlang.stages.tune.taps import mean_outputs, tap_means
from tests.unit.stages.nets import Net, fire_net, residual_net

W3A8 = Precision(wbits=3, abits=8)
QUIET = Feedback()


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2.5)


def prepare(
    net: tuple[Graph, TensorStore], *, without: Sequence[str] = ()
) -> tuple[FloatModel, RangeTable, Deployment]:
    model = FloatModel(*net)
    act = ActivationSettings(range=MinMax())
    names = [node.name for node in layer_nodes(model.graph)]
    settings = {
        n: LayerSettings(
            layer=n, precision=(W3A8,), activations=act, bias_correction=n not in without
        )
        for n in names
    }
    requests = range_requests(model.graph, settings, act, 8, QUIET.report)
    table = calibrate(
        model, stream_of(images(32)), requests, interval=(-2.0, 2.5), default=act, feedback=QUIET
    )
    return model, table, Deployment(dict.fromkeys(names, W3A8), settings)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "padding", "dilation"),
    [
        (3, 1, 1, (1, 1, 1, 1), 1),
        (3, 2, 1, (0, 0, 1, 1), 1),
        (3, 1, 6, (1, 1, 1, 1), 1),
        (1, 2, 2, (0, 0, 0, 0), 1),
        (3, 1, 1, (2, 2, 2, 2), 2),
        (5, 3, 3, (2, 1, 0, 2), 1),
    ],
)
def test_the_mean_output_follows_from_the_means_under_the_taps(
    kernel: int, stride: int, groups: int, padding: Any, dilation: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 11, 13, generator=generator, dtype=torch.float64)
    weight = torch.randn(12, 6 // groups, kernel, kernel, generator=generator).double()
    node = Conv2d(
        name="c",
        x="x",
        output="c",
        weight="w",
        bias=None,
        stride=(stride, stride),
        padding=padding,
        dilation=(dilation, dilation),
        groups=groups,
    )
    full = evaluate(node, {"x": x}, {"w": weight})
    got = mean_outputs(node, tap_means(node, x, (kernel, kernel)), weight)
    np.testing.assert_allclose(got, full.mean((2, 3)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_after_correction_every_layer_has_the_mean_of_the_float_network(make: Any) -> None:
    model, table, deployment = prepare(make())
    simulation = Simulation(model, table, deployment, torch.float64)
    x = images(32)
    fit = x[(torch.arange(32) + 1) % 4 != 0]
    found = correct_biases(model, simulation, stream_of(x), QUIET)
    assert found is not None
    assert (found.fitted, found.held_out) == (24, 8)
    for name, bias in found.biases.items():
        simulation.set_bias(name, bias)
    layers = {node.output: node for node in layer_nodes(model.graph)}
    kept = model.run(fit, keep=list(layers)).kept
    state = dict(simulation.enter(fit))

    def lookup(key: Any) -> torch.Tensor:
        return state[key] if key.form else simulation.accumulate(key.value, lookup)

    for node in model.graph.nodes:
        if node.output in layers:
            axes = (0, 2, 3)[: kept[node.output].ndim - 1]
            got = simulation.accumulate(node.output, lookup).mean(axes)
            name = layers[node.output].name
            scale = simulation.params[simulation.input_form(layers[node.output])].scale
            step = simulation.weights[name].scale * scale
            error = (got - kept[node.output].double().mean(axes)).abs().numpy()
            assert (error <= 0.5 * step + 1e-6).all()
        state.update(simulation.compute(node, lookup))


def test_a_planted_shift_of_the_weights_is_taken_out() -> None:
    net = Net((3, 8, 8))
    # Weights just below half a step all round down: the sum of many is far off.
    weight = np.full((4, 3, 3, 3), 0.45)
    weight[:, 0, 0, 0] = 3.0
    mid = net.relu("mid.relu", net.conv("mid", "x", 4, weight=weight, bias=np.full(4, 30.0)))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", mid)), 5)
    model, table, deployment = prepare((net.graph(logits), net.store))
    simulation = Simulation(model, table, deployment)
    x = images(64).abs()
    before = (simulation.run(x) - model.forward(x)).abs().mean()
    found = correct_biases(model, simulation, stream_of(x), QUIET)
    assert found is not None
    assert found.kept
    assert found.error_after < 0.2 * found.error_before
    assert (simulation.run(x) - model.forward(x)).abs().mean() < 0.5 * before


def test_a_correction_that_does_harm_is_dropped_and_the_biases_are_the_old_ones() -> None:
    model, table, deployment = prepare(residual_net())
    simulation = Simulation(model, table, deployment)
    x = images(32)
    # Held-out samples of another kind than those the biases are fitted on.
    x[(torch.arange(32) + 1) % 4 != 0] = 2.5
    before = simulation.run(images(4))
    said: list[Diagnostic] = []
    store = TensorStore()
    tuning = tune(model, table, deployment, stream_of(x), store, Feedback(report=said.append))
    found = correct_biases(model, simulation, stream_of(x), QUIET)
    assert found is not None
    assert not found.kept
    assert found.error_after >= found.error_before
    np.testing.assert_array_equal(simulation.run(images(4)), before)
    assert (tuning.kept, tuning.biases) == (False, ())
    assert [d.code for d in said] == ["HQ430"]


def test_layers_that_ask_for_none_keep_their_bias() -> None:
    model, table, deployment = prepare(residual_net(), without=["stem", "fc"])
    found = correct_biases(
        model, Simulation(model, table, deployment), stream_of(images(16)), QUIET
    )
    assert found is not None
    assert sorted(found.biases) == ["b1.conv1", "b1.conv2", "b2.conv1", "b2.conv2"]


def test_nothing_is_done_where_no_layer_asks_for_it() -> None:
    names = ["stem", "fc", "b1.conv1", "b1.conv2", "b2.conv1", "b2.conv2"]
    model, table, deployment = prepare(residual_net(), without=names)
    tuning = tune(model, table, deployment, stream_of(images(0)), TensorStore(), QUIET)
    assert tuning.error_after is None


def test_too_few_samples_are_not_enough_to_judge() -> None:
    model, table, deployment = prepare(residual_net())
    said: list[Diagnostic] = []
    feedback = Feedback(report=said.append)
    tuning = tune(model, table, deployment, stream_of(images(7)), TensorStore(), feedback)
    assert tuning.biases == ()
    assert [d.code for d in said] == ["HQ431"]


def test_the_result_is_the_same_each_time_and_for_any_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, table, deployment = prepare(residual_net())
    store = TensorStore()
    x = images(24)
    whole = tune(model, table, deployment, stream_of(x), store, QUIET)
    assert whole == tune(model, table, deployment, stream_of(x), store, QUIET)
    monkeypatch.setattr(batches, "LARGEST_CHUNK", 7)
    split = tune(model, table, deployment, stream_of(x), store, QUIET)
    assert whole.kept
    for a, b in zip(whole.biases, split.biases, strict=True):
        np.testing.assert_allclose(store.get(a.bias), store.get(b.bias), atol=1e-4)


def test_bounds_on_memory_and_work_limit_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    model, table, deployment = prepare(residual_net())
    simulation = Simulation(model, table, deployment)
    # The widest point: stem.relu, b1.conv1 and b1.relu1, each 4 x 8 x 8 of one byte.
    assert replay.stored_bytes(simulation) == 3 * 256
    monkeypatch.setattr(replay, "BYTES", 16 * replay.stored_bytes(simulation))
    found = correct_biases(model, simulation, stream_of(images(40)), QUIET)
    assert found is not None
    assert found.fitted + found.held_out == 16
    monkeypatch.setattr(replay, "MACS", 9 * 3 * replay.macs(model.graph))
    assert replay.sample_limit(simulation) == 12


def test_progress_counts_layers() -> None:
    model, table, deployment = prepare(residual_net())
    seen: list[tuple[int, int]] = []
    feedback = Feedback(progress=lambda done, total: seen.append((done, total)))
    correct_biases(model, Simulation(model, table, deployment), stream_of(images(16)), feedback)
    assert seen == [(i, 6) for i in range(1, 7)]
