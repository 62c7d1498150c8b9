"""Equalization changes weights, never the function, and only where that is so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.cache import Cache, TensorStore
from hawqlang.ir.graph import Graph
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.memory import Memory
from hawqlang.stages.simulate import Simulation
from hawqlang.stages.tune import fit
from hawqlang.stages.tune.equalize import chains, equalized
from tests.unit.stages.nets import Net, fire_net, residual_net
from tests.unit.stages.tune.test_recipe import (
    QUIET,
    error_on,
    hard,
    images,
    simulated,
    subject,
)


def uneven(high: float | None = None) -> tuple[Graph, TensorStore]:
    """Channels of magnitudes from 1 to 1000 between two layers, one of them depthwise."""
    net = Net((3, 8, 8))
    gains = np.logspace(0, 3, 6)
    rng = np.random.default_rng(5)
    first = rng.normal(size=(6, 3, 3, 3)) * gains[:, None, None, None] / 5
    second = rng.normal(size=(6, 1, 3, 3)) / gains[:, None, None, None] / 3
    a = net.relu("a.relu", net.conv("a", "x", 6, weight=first, bias=gains * 0.1), high=high)
    b = net.relu("b.relu", net.conv("b", a, 6, groups=6, weight=second))
    c = net.relu("c.relu", net.conv("c", b, 8, 1))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", c)), 5)
    return net.graph(logits), net.store


@pytest.mark.parametrize("make", [uneven, residual_net, fire_net])
def test_the_float_network_stays_what_it_was(make: Any) -> None:
    model = FloatModel(*make())
    found = equalized(model)
    x = images(8)
    before = model.forward(x)
    np.testing.assert_allclose(
        found.forward(x), before, rtol=1e-3, atol=1e-4 * float(before.abs().max())
    )


def test_neighbours_end_with_like_magnitudes() -> None:
    model = FloatModel(*uneven())
    found = equalized(model)
    for name in ("a", "b"):
        rows = found.parameters[f"{name}.weight"].flatten(1).abs().amax(1)
        assert float(rows.max() / rows.min()) < 20
    rows = model.parameters["a.weight"].flatten(1).abs().amax(1)
    assert float(rows.max() / rows.min()) > 200


def test_only_homogeneous_operators_may_stand_between() -> None:
    found = [(c.source.name, [r.name for r in c.readers]) for c in chains(uneven()[0])]
    assert found == [("a", ["b"]), ("b", ["c"])]
    assert [c.source.name for c in chains(uneven(high=6.0)[0])] == ["b"]


def test_a_residual_stream_is_left_alone() -> None:
    sources = {c.source.name for c in chains(residual_net()[0])}
    assert sources == {"b1.conv1", "b2.conv1"}


def test_an_equalized_network_is_deployed_where_it_is_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hawqlang.stages.tune.distil.STEPS", 5)
    own, memory = subject(uneven(), images(64)), Memory(Cache(None), "even")
    tuning = fit(own, memory, QUIET, hard(own))
    trial = next(t for t in tuning.trials if t.corrections[:1] == ("equalized",))
    assert trial.kept
    assert {row.layer for row in tuning.weights} == {"a", "b", "c", "fc"}
    assert tuning.ranges
    x = images(32, seed=7)
    with torch.inference_mode():
        plain = Simulation(own.model, own.table, own.deployment)
        assert error_on(own, simulated(own, tuning, memory.store), x) < error_on(own, plain, x)
