"""Gradient reconstruction: where a network is cut, what is trained, and what is taken over."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.stages.simulate import Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune.blocks import blocks
from hawqlang.stages.tune.reconstruct import most_samples
from hawqlang.stages.tune.soft import Learned, Soft
from tests.unit.stages.nets import Net, fire_net, residual_net
from tests.unit.stages.tune.test_recipe import images, subject


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


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_untrained_and_without_drops_the_soft_network_is_the_quantized_one(make: Any) -> None:
    own = subject(make(), images(8))
    simulation = Simulation(own.model, own.table, own.deployment)
    learned = Learned()
    for node in layer_nodes(own.model.graph):
        weight = simulation.weights[node.name]
        learned.latent[node.name] = torch.tensor(weight.q, dtype=torch.float32)
        shape = (-1, *[1] * (weight.q.ndim - 1))
        learned.scale[node.name] = torch.tensor(weight.scale).float().reshape(shape)
        learned.limit[node.name] = 3
        learned.bias[node.name] = torch.tensor(simulation.bias(node.name)).float()
    learned.steps = {form: torch.zeros(()) for form in simulation.params if form.bits < 8}
    soft = Soft(simulation, learned, torch.Generator())
    soft.refresh()
    soft.drops = False
    x = images(8)
    expected = simulation.run(x)
    np.testing.assert_allclose(soft.run(x), expected, atol=1e-3 * float(expected.abs().max()))


def test_gradients_reach_weights_biases_and_steps() -> None:
    own = subject(residual_net(), images(8))
    simulation = Simulation(own.model, own.table, own.deployment)
    node = layer_nodes(own.model.graph)[1]
    weight = simulation.weights[node.name]
    learned = Learned(
        latent={node.name: torch.tensor(weight.q, dtype=torch.float32, requires_grad=True)},
        scale={node.name: torch.tensor(weight.scale).float().reshape(-1, 1, 1, 1)},
        limit={node.name: 3},
        bias={node.name: torch.tensor(simulation.bias(node.name)).float()},
        shift={node.name: torch.zeros(len(weight.scale), requires_grad=True)},
        unit={node.name: torch.ones(len(weight.scale))},
        steps={simulation.input_form(node): torch.zeros((), requires_grad=True)},
    )
    soft = Soft(simulation, learned, torch.Generator().manual_seed(0))
    soft.refresh()
    soft.run(images(8)).square().mean().backward()
    trained = [*learned.latent.values(), *learned.shift.values(), *learned.steps.values()]
    for value in trained:
        assert value.grad is not None
        assert bool((value.grad != 0).any())
    assert simulation.run(images(8)).requires_grad is False


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
