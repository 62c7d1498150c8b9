"""Gradient reconstruction: where a network is cut, what is trained, and what is taken over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.base import Frozen, Precision
from hawqlang.cache import Cache
from hawqlang.ir.tuning import FittedBlock
from hawqlang.stages.finetune.training import Checkpoint
from hawqlang.stages.float_model import evaluate
from hawqlang.stages.simulate import Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune import Subject, distil, fit, replay
from hawqlang.stages.tune.best import surely_less
from hawqlang.stages.tune.blocks import blocks
from hawqlang.stages.tune.distil import Views, sample_work, steps_of
from hawqlang.stages.tune.learner import Learner
from hawqlang.stages.tune.reconstruct import Walk, importance, most_samples
from tests.unit.stages.nets import Net, fire_net, residual_net
from tests.unit.stages.tune.test_recipe import QUIET, fresh, hard, images, subject


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_blocks_are_the_whole_network_and_one_tensor_joins_them(make: Any) -> None:
    graph = make()[0]
    found = blocks(graph)
    assert [node for block in found for node in block.nodes] == list(graph.nodes)
    assert found[0].x == graph.input.name
    assert found[-1].y == graph.output
    for block, after in itertools.pairwise(found):
        assert after.x == block.y
        inside = {block.x, *(node.output for node in block.nodes)}
        outside = {node.output for other in found if other is not block for node in other.nodes}
        for node in after.nodes:
            read = {getattr(node, name) for name in ("x", "a", "b") if hasattr(node, name)}
            assert not (read & inside) - {block.y} - outside


def test_a_chain_is_cut_behind_its_activations_into_pairs() -> None:
    net = Net((3, 8, 8))
    x = "x"
    for name in ("a", "b", "c", "d"):
        x = net.relu(f"{name}.relu", net.conv(name, x, 4))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", x)), 5)
    found = blocks(net.graph(logits))
    assert [[n.name for n in b.layers] for b in found] == [["a", "b"], ["c", "d"], ["fc"]]
    assert [b.y for b in found[:2]] == ["b.relu", "d.relu"]


def learner_of(own: Subject, free: Sequence[str] | None = None) -> Learner:
    names = [node.name for node in layer_nodes(own.model.graph)]
    chosen = names if free is None else free
    return Learner(own.model, own.table, own.deployment, chosen, own.samples)


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_before_training_the_learner_is_the_quantized_network(make: Any) -> None:
    own = subject(make(), images(8))
    expected = Simulation(own.model, own.table, own.deployment).run(images(8))
    found = learner_of(own).run(images(8)).detach()
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(expected.abs().max()))


def test_what_is_dropped_from_rounding_lies_on_no_grid_and_within_its_range() -> None:
    own = subject(residual_net(), images(8))
    learner = learner_of(own)
    learner.prepare(layer_nodes(own.model.graph))
    form = next(form for form in learner.log_steps if form.bits == 4)
    x = torch.linspace(-9, 9, 400)
    params = learner.params[form]
    rounded = learner.store(x, form).detach()
    learner.generator = torch.Generator().manual_seed(0)
    dropped = learner.store(x, form).detach()
    low, high = (params.scale * (q - params.zero_point) for q in (params.qmin, params.qmax))
    assert float(dropped.min()) >= low - 1e-5
    assert float(dropped.max()) <= high + 1e-5
    share = float((dropped != rounded)[(x > low) & (x < high)].double().mean())
    assert 0.35 < share < 0.65
    np.testing.assert_allclose(dropped, rounded, atol=0.51 * params.scale)


def test_gradients_reach_weights_biases_and_steps() -> None:
    learner = learner_of(subject(residual_net(), images(8)))
    learner.run(images(8)).square().mean().backward()
    for value in learner.leaves():
        assert value.grad is not None
        assert bool((value.grad != 0).any())


def test_biases_that_may_not_be_corrected_do_not_learn() -> None:
    own = subject(residual_net(), images(8), bias_correction=False)
    learner = learner_of(own)
    learning = {id(leaf) for leaf in learner.leaves()}
    assert not learning & {id(bias) for bias in learner.biases.values()}


def test_an_element_counts_as_much_as_the_logits_change_with_it() -> None:
    own = subject(residual_net(), images(16))
    graph = own.model.graph
    *_, before, last = blocks(graph)
    plain = Simulation(own.model, own.table, own.deployment)
    learner = learner_of(own)
    walk = Walk(replay.Replay(plain, own.samples), own.model, own.table, images(16), learner)
    y = own.model.run(images(16), keep=[before.y]).kept[before.y]
    draws = [torch.Generator().manual_seed(seed) for seed in range(200)]
    found = torch.stack([importance(walk, before, y, one) for one in draws]).mean(0)
    leaf = y.clone().requires_grad_()
    z = leaf
    values = {before.y: z}
    for node in last.nodes:
        values[node.output] = evaluate(node, values, own.model.parameters)
    z = values[graph.output] - values[graph.output].mean(1, keepdim=True)
    rows = [
        torch.autograd.grad(z[:, k].sum(), leaf, retain_graph=True)[0] for k in range(z.shape[1])
    ]
    wanted = torch.stack(rows).square().sum(0)
    wanted /= wanted.mean()
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.97
    np.testing.assert_allclose(found.mean(), 1.0, rtol=1e-5)


def test_steps_follow_from_the_network_alone_and_stay_within_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = residual_net()[0]
    assert steps_of(graph, 32) == distil.STEPS
    monkeypatch.setattr(distil, "WORK", 50 * 32 * sample_work(graph))
    assert steps_of(graph, 32) == 50
    assert steps_of(graph, 16) == 100
    monkeypatch.setattr(distil, "WORK", 1)
    assert steps_of(graph, 32) == distil.PARTS


def test_most_views_of_an_image_are_new_and_vectors_stay() -> None:
    x = images(4)
    views = Views(x, 6)
    first = [batch for batch, _ in views.epoch(3, 0, 5)]
    again = [batch for batch, _ in views.epoch(3, 0, 5)]
    assert [batch.shape for batch in first] == [(5, *x.shape[1:])] * 6
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0], next(batch for batch, _ in views.epoch(3, 1, 5)))
    whole = torch.cat(first)
    same = sum(any(torch.equal(view, image) for image in x) for view in whole)
    assert same < len(whole) / 2
    vectors = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    for batch, _ in Views(vectors, 2).epoch(0, 0, 8):
        assert all(any(torch.equal(row, own) for own in vectors) for row in batch)


@pytest.mark.parametrize("parts", [2, 8])
def test_a_killed_best_goes_on_at_the_block_or_part_where_it_stopped(
    parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distil, "STEPS", 20)
    own = subject(residual_net(), images(32))
    whole = fit(own, fresh(), QUIET, hard(own))
    memory, save = fresh(), Cache.save
    kept: list[str] = []

    def counted(self: Cache, key: str, value: Frozen) -> None:
        if isinstance(value, FittedBlock | Checkpoint):
            if len(kept) == parts:
                raise KeyboardInterrupt
            kept.append(type(value).__name__)
        save(self, key, value)

    monkeypatch.setattr(Cache, "save", counted)
    with pytest.raises(KeyboardInterrupt):
        fit(subject(residual_net(), images(32)), memory, QUIET, hard(own))

    def noted(self: Cache, key: str, value: Frozen) -> None:
        if isinstance(value, FittedBlock | Checkpoint):
            kept.append(type(value).__name__)
        save(self, key, value)

    monkeypatch.setattr(Cache, "save", noted)
    resumed = fit(subject(residual_net(), images(32)), memory, QUIET, hard(own))
    assert resumed == whole
    count = len(blocks(own.model.graph))
    assert kept == ["FittedBlock"] * count + ["Checkpoint"] * (distil.PARTS * len(distil.RATES))


def lower(after: torch.Tensor, before: torch.Tensor) -> bool:
    """Any gain will do."""
    return float(after.mean()) < float(before.mean())


def test_training_keeps_to_a_narrow_accumulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "STEPS", 40)
    monkeypatch.setattr("hawqlang.stages.tune.best.surely_less", lower)
    net = Net((3, 8, 8))
    mid = net.relu("mid.relu", net.conv("mid", "x", 4))
    wide = net.relu("wide.relu", net.conv("wide", mid, 64, 1))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", wide)), 5)
    made = (net.graph(logits), net.store)
    precision = Precision(wbits=4, abits=8)
    own, memory = subject(made, images(64), precision, accumulator="int16"), fresh()
    tuning = fit(own, memory, QUIET, hard(own))
    assert any("distilled" in row.kept or "reconstructed" in row.kept for row in tuning.layers)
    for row in tuning.weights:
        q = memory.store.get(row.q).astype(np.int64)
        assert (np.abs(q).reshape(q.shape[0], -1).sum(1) * 255 <= 2**15 - 1).all()


def test_a_learned_step_replaces_its_row_alone() -> None:
    table = subject(residual_net(), images(8)).table
    row = next(r for r in table.ranges if r.bits == 4)
    found = table.with_rows((row.replace(high=row.high * 2, low=row.low * 2),))
    changed = [a for a, b in zip(table.ranges, found.ranges, strict=True) if a != b]
    assert changed == [row]


def test_float_maps_bound_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual_net()[0]
    monkeypatch.setattr("hawqlang.stages.tune.reconstruct.BYTES", 10 * 4 * 256)
    assert most_samples(graph) == 10


def test_a_gain_within_its_standard_error_is_none() -> None:
    before = torch.tensor([1.0, 1.0, 1.0, 9.0], dtype=torch.float64)
    one_sample = torch.tensor([1.0, 1.0, 1.0, 5.0], dtype=torch.float64)
    all_of_them = before - torch.tensor([0.1, 0.2, 0.1, 0.2], dtype=torch.float64)
    assert not surely_less(one_sample, before)
    assert surely_less(all_of_them, before)
    assert not surely_less(before, before)
    assert not surely_less(before, all_of_them)
