"""Samples made from a network come closer to what its batch norms remember, the same on every run."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.cache import Cache
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import Input
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model.statistics import ChannelStatistics
from hawqlang.stages.memory import Memory
from hawqlang.stages.zero_shot.codes import codes_of
from hawqlang.stages.zero_shot.matching import Matching, roughness
from hawqlang.stages.zero_shot.synthesise import Budget, Synthesised, synthesise
from tests.support.imports import image, vector
from tests.unit.stages.nets import Net


def remembered(model: FloatModel, values: list[str], x: torch.Tensor) -> list[ChannelStatistics]:
    """What batch norms after ``values`` would remember of ``x``."""
    with torch.inference_mode():
        kept = model.run(x, keep=values).kept
    rows: list[ChannelStatistics] = []
    for name in values:
        axes = [axis for axis in range(kept[name].ndim) if axis != 1]
        variance, mean = torch.var_mean(kept[name].double(), axes, correction=0)
        rows.append(ChannelStatistics(name, mean.numpy(), variance.sqrt().numpy()))
    return rows


def pictures() -> tuple[Graph, FloatModel, Input, list[str], torch.Tensor]:
    """A small network of images, and smooth images as its training data."""
    net = Net((3, 8, 8))
    net.relu("r1", net.conv("c1", "x", 6))
    net.relu("r2", net.conv("c2", "r1", 8, stride=2))
    net.linear("fc", net.flatten("flat", net.avg_pool("pool", "r2")), 4)
    graph = net.graph("fc")
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand((64, 3, 2, 2), generator=generator) * 200
    data = torch.nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
    return graph, FloatModel(graph, net.store), image(8, 8), ["c1", "c2"], data


def fresh() -> Memory:
    return Memory(Cache(None), "test")


def made(
    seed: int = 0, count: int = 12, steps: int = 30, memory: Memory | None = None
) -> tuple[Synthesised, Matching]:
    graph, model, kind, values, data = pictures()
    matching = Matching(model, remembered(model, values, data), codes_of(kind))
    budget = Budget(count, steps, seed)
    return synthesise(graph, matching, budget, memory or fresh(), Feedback()), matching


def test_samples_come_closer_to_the_statistics_than_noise() -> None:
    found, _ = made()
    assert found.method == "generator"
    assert found.mismatch < 0.5 * found.noise
    assert found.codes.shape == (12, 3, 8, 8)
    assert float(found.codes.min()) >= 0
    assert float(found.codes.max()) <= 255


def test_the_seed_alone_decides_the_samples() -> None:
    torch.manual_seed(5)
    first, _ = made(steps=4)
    torch.manual_seed(6)
    state = torch.random.get_rng_state()
    second, _ = made(steps=4)
    other, _ = made(seed=1, steps=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.codes, second.codes)
    assert not torch.equal(first.codes, other.codes)


@pytest.mark.parametrize("until", [2, 5, 11])
def test_a_killed_synthesis_goes_on_with_what_is_missing(
    until: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("hawqlang.stages.zero_shot.synthesise")

    def four(*_: object) -> int:
        return 4

    monkeypatch.setattr(module, "gradient_batch", four)
    whole, _ = made(steps=3)
    assert whole.method == "direct"
    memory, own, steps = fresh(), Matching.loss, [0]

    def counted(*arguments: Any) -> torch.Tensor:
        steps[0] += 1
        if steps[0] == until:
            raise KeyboardInterrupt
        return own(*arguments)

    monkeypatch.setattr(Matching, "loss", counted)
    with pytest.raises(KeyboardInterrupt):
        made(steps=3, memory=memory)
    resumed, _ = made(steps=3, memory=memory)
    assert torch.equal(resumed.codes, whole.codes)
    assert resumed.mismatch == whole.mismatch
    # 3 steps of the generator, 3 for each of 3 batches: what was finished before the kill is not done again.
    assert steps[0] == until + 12 - 3 * ((until - 1) // 3)


def test_classes_are_made_equally_often() -> None:
    found, _ = made(count=12, steps=1)
    np.testing.assert_array_equal(np.bincount(found.classes.numpy()), [3, 3, 3, 3])


def test_one_sample_can_be_made() -> None:
    found, _ = made(count=1, steps=2)
    assert found.codes.shape == (1, 3, 8, 8)
    assert torch.isfinite(found.codes).all()


def test_vectors_are_optimised_without_a_generator() -> None:
    net = Net((10,))
    net.linear("l2", net.relu("r", net.linear("l1", "x", 8)), 3)
    graph = net.graph("l2")
    model = FloatModel(graph, net.store)
    data = torch.rand((64, 10), generator=torch.Generator().manual_seed(3)) * 0.5
    matching = Matching(model, remembered(model, ["l1"], data), codes_of(vector(10)))
    found = synthesise(graph, matching, Budget(16, 40, 0), fresh(), Feedback())
    assert found.method == "direct"
    assert found.mismatch < 0.1 * found.noise


def test_the_training_data_itself_has_no_mismatch() -> None:
    _, model, kind, values, data = pictures()
    matching = Matching(model, remembered(model, values, data), codes_of(kind))
    assert matching.mismatch(data) < 1e-8
    assert matching.mismatch(data + 30) > 1e-3


def test_a_dead_channel_does_not_rule_the_loss() -> None:
    _, model, kind, values, data = pictures()
    rows = remembered(model, values, data)
    rows[0].deviation[0] = 0.0
    matching = Matching(model, rows, codes_of(kind))
    assert 0 < matching.mismatch(data) < 50


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 1, 1), (2, 3, 4, 1)])
def test_roughness_of_what_has_no_neighbours_is_zero(shape: tuple[int, ...]) -> None:
    assert float(roughness(torch.ones(shape))) == 0
