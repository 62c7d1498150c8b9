"""Block-wise reconstruction by gradient, from where the closed form ended.

A block reads the quantized tensor that everything fixed before it produces and is to give the float network's output of
the block; the integers, biases and activation steps of its layers are trained together for that (Li et al., "BRECQ";
the integers by a straight-through latent as in Hubara et al., "AdaQuant"). A block keeps the result only where the
error of its output falls on samples held out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hawqlang.ir.graph import Graph
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.ir.tuning import FittedBlock, FittedLayer, LayerBias, LayerWeight
from hawqlang.stages.batches import chunk_size
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.memory import Memory
from hawqlang.stages.quantize import Float64, QuantizedWeight, stored_params, weight_limit
from hawqlang.stages.simulate import Key, Simulation
from hawqlang.stages.structure import LayerNode
from hawqlang.stages.tune.blocks import Block, blocks
from hawqlang.stages.tune.replay import Replay, held_out
from hawqlang.stages.tune.soft import Learned, Soft
from hawqlang.stages.tuned_weights import given_weight

ITERATIONS = 400
"""Steps of Adam for each block."""

LARGEST_BATCH = 32

LEARNING_RATE = 1e-2
"""Of weights, in steps of their scale."""

STEP_RATE = 2e-3
"""Of activation steps, in their logarithm."""

SHIFT_RATE = 5e-3
"""Of biases, in standard deviations of the layer's output."""

BYTES = 512 * 2**20
"""Bound of one float map of all samples."""


@dataclass(slots=True)
class Walk:
    """The quantized and the float network, both at the same cut."""

    replay: Replay
    model: FloatModel
    table: RangeTable
    x: torch.Tensor
    """The float value there, of all samples."""

    @property
    def simulation(self) -> Simulation:
        """Return the quantized network."""
        return self.replay.simulation


def most_samples(graph: Graph) -> int:
    """Return how many samples' float maps fit :data:`BYTES` at any cut."""
    shapes = {value.name: value.shape for value in graph.values}
    largest = max(math.prod(shapes[name]) for block in blocks(graph) for name in (block.x, block.y))
    return max(1, BYTES // (4 * largest))


def reconstruct(
    walk: Walk,
    start: Mapping[str, FittedLayer],
    trainable: frozenset[str],
    memory: Memory,
    seed: int,
    feedback: Feedback,
) -> tuple[FittedLayer, ...]:
    """Return what became of every layer; the walk's table then holds the steps that were learned.

    Args:
        walk: Both networks at their input; the simulation rounded to nearest.
        start: What the closed form made of each layer.
        trainable: The layers that may be changed.
        memory: Remembers settled blocks.
        seed: Draws batches and dropped elements.
        feedback: Gets layers done.
    """
    simulation = walk.simulation
    found: dict[str, FittedLayer] = {}
    parts = blocks(simulation.graph)
    for number, block in enumerate(parts):
        feedback.doing(block.layers[-1].name if block.layers else block.y)
        for node in block.layers:
            _give(simulation, node, start[node.name], memory)
        y = _float_output(walk, block)

        def train(block: Block = block, y: torch.Tensor = y, number: int = number) -> FittedBlock:
            wanted = trainable & {node.name for node in block.layers}
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            return _train(walk, _Task(block, y, wanted, generator), start, memory)

        result = memory.block(block.y, train)
        _take(walk, result.ranges)
        chosen = {row.layer: row for row in result.layers}
        for node in block.layers:
            found[node.name] = chosen.get(node.name, start[node.name])
            _give(simulation, node, found[node.name], memory)
        for node in block.nodes:
            walk.replay.advance(node)
        walk.x = y
        feedback.progress(number + 1, len(parts))
    return tuple(found.values())


def _give(simulation: Simulation, node: LayerNode, fitted: FittedLayer, memory: Memory) -> None:
    """Give a layer what was found for it, its bias rounded to what its input's scale is by now."""
    weight = simulation.weights[node.name]
    if fitted.weight is not None:
        weight = given_weight(memory.store, fitted.weight)
    own = simulation.own_bias(node)
    bias = own if fitted.bias is None else memory.store.get(fitted.bias.bias)
    simulation.set_layer(node.name, weight, bias)


def _take(walk: Walk, rows: tuple[TensorRange, ...]) -> None:
    """Store tensors in other ranges from now on."""
    if not rows:
        return
    walk.table = walk.table.with_rows(rows)
    walk.simulation.params.update(stored_params(walk.simulation.graph, walk.table))


def _float_output(walk: Walk, block: Block) -> torch.Tensor:
    """Return the float network's output of a block for all samples."""
    parts: list[torch.Tensor] = []
    with torch.no_grad():
        for at in walk.replay.spans():
            values = {block.x: walk.x[at]}
            for node in block.nodes:
                values[node.output] = evaluate(node, values, walk.model.parameters)
            parts.append(values[block.y])
    return torch.cat(parts)


def _outputs(
    simulation: Simulation, replay: Replay, block: Block, at: slice | torch.Tensor
) -> list[torch.Tensor]:
    """Return the block's output for some samples in each form it is stored in."""
    state: dict[Key, torch.Tensor] = {}

    def lookup(key: Key) -> torch.Tensor:
        if key.form is None:
            return simulation.accumulate(key.value, lookup)
        return state[key] if key in state else replay.stored(key, at)

    for node in block.nodes:
        state.update(simulation.compute(node, lookup))
    return [found for key, found in state.items() if key.value == block.y]


def _error(walk: Walk, block: Block, y: torch.Tensor, which: torch.Tensor) -> float:
    """Return the squared error of the block's output on some samples, relative to its power."""
    error = power = 0.0
    with torch.no_grad():
        for start in range(0, len(which), walk.replay.size):
            at = which[start : start + walk.replay.size]
            for got in _outputs(walk.simulation, walk.replay, block, at):
                error += float((got - y[at]).double().square().sum())
                power += float(y[at].double().square().sum())
    return error / power if power > 0 else error


@dataclass(frozen=True, slots=True)
class _Task:
    """One block to be trained."""

    block: Block
    y: torch.Tensor
    """What the float network gives, for all samples."""
    wanted: frozenset[str]
    """Its layers that may change."""
    generator: torch.Generator


def _train(
    walk: Walk, task: _Task, start: Mapping[str, FittedLayer], memory: Memory
) -> FittedBlock:
    """Return what training makes of a block; the simulation holds it where it is kept."""
    block, y, wanted = task.block, task.y, task.wanted
    held = held_out(walk.replay.count)
    judged = held.nonzero()[:, 0]
    before = _error(walk, block, y, judged)
    none = FittedBlock(layers=(), ranges=(), error_before=before, error_after=before)
    if not wanted:
        return none
    with torch.inference_mode(mode=False), torch.enable_grad():
        learned = _learned(walk, block, wanted)
        _descend(walk, task, learned, (~held).nonzero()[:, 0])
    rows = tuple(
        _row(walk, form.root, form.bits, float(t.detach())) for form, t in learned.steps.items()
    )
    old = {name: (walk.simulation.weights[name], walk.simulation.bias(name)) for name in wanted}
    table = walk.table
    _take(walk, rows)
    layers: list[FittedLayer] = []
    for node in block.layers:
        if node.name not in wanted:
            continue
        weight, bias = _found(learned, node.name, walk.simulation)
        walk.simulation.set_layer(node.name, weight, bias)
        layers.append(_row_of(start[node.name], weight, bias, memory))
    after = _error(walk, block, y, judged)
    if after < before:
        return FittedBlock(
            layers=tuple(layers), ranges=rows, error_before=before, error_after=after
        )
    walk.table = table
    walk.simulation.params.update(stored_params(walk.simulation.graph, table))
    for name, (weight, bias) in old.items():
        walk.simulation.set_layer(name, weight, bias)
    return none.replace(error_after=after)


def _learned(walk: Walk, block: Block, wanted: frozenset[str]) -> Learned:
    """Return what is trained, as it is at the start."""
    simulation, learned = walk.simulation, Learned()
    for name in wanted:
        weight = simulation.weights[name]
        shape = (-1, *[1] * (weight.q.ndim - 1))
        learned.latent[name] = torch.tensor(weight.q, dtype=torch.float32, requires_grad=True)
        learned.scale[name] = torch.tensor(weight.scale, dtype=torch.float32).reshape(shape)
        learned.limit[name] = weight_limit(simulation.deployment.precision[name].wbits)
        learned.bias[name] = torch.tensor(simulation.bias(name), dtype=torch.float32)
        if simulation.deployment.settings[name].bias_correction:
            learned.shift[name] = torch.zeros(len(weight.scale), requires_grad=True)
        learned.unit[name] = _spread(walk, block, name)
    inside = {node.output for node in block.nodes}
    for node in block.nodes:
        for form in simulation.forms[node.output]:
            if form.bits < 8 and form.root in inside:
                learned.steps[form] = torch.zeros((), requires_grad=True)
    return learned


def _spread(walk: Walk, block: Block, layer: str) -> torch.Tensor:
    """Return the standard deviation of each channel a layer accumulates, ``(OC,)``, on a few samples."""
    simulation, replay = walk.simulation, walk.replay
    at = slice(0, min(replay.size, 16))
    state: dict[Key, torch.Tensor] = {}

    def lookup(key: Key) -> torch.Tensor:
        if key.form is None:
            return simulation.accumulate(key.value, lookup)
        return state[key] if key in state else replay.stored(key, at)

    with torch.no_grad():
        for node in block.nodes:
            if node.name == layer:
                found = simulation.accumulate(node.output, lookup)
                return found.transpose(0, 1).flatten(1).std(1).clamp_min(1e-6)
            state.update(simulation.compute(node, lookup))
    raise KeyError(layer)


def _descend(walk: Walk, task: _Task, learned: Learned, fitted: torch.Tensor) -> None:
    """Train a block on the fitted samples: Adam with a cosine schedule on the squared error of its output."""
    y, generator = task.y, task.generator
    soft = Soft(walk.simulation, learned, generator)
    groups = [
        {"params": list(learned.latent.values()), "lr": LEARNING_RATE},
        {"params": list(learned.shift.values()), "lr": SHIFT_RATE},
        {"params": list(learned.steps.values()), "lr": STEP_RATE},
    ]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ITERATIONS)
    batch = min(LARGEST_BATCH, 2 * chunk_size(walk.simulation.graph), len(fitted))
    power = y.square().mean().clamp_min(1e-12)
    for _ in range(ITERATIONS):
        at = fitted[torch.randint(len(fitted), (batch,), generator=generator)]
        soft.refresh()
        loss = torch.zeros(())
        for got in _outputs(soft, walk.replay, task.block, at):
            loss = loss + (got - y[at]).square().mean() / power
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _found(learned: Learned, layer: str, simulation: Simulation) -> tuple[QuantizedWeight, Float64]:
    """Return a layer's trained integers and bias."""
    limit = learned.limit[layer]
    latent = learned.latent[layer].detach().double()
    dtype = simulation.weights[layer].q.dtype
    q = (latent.clamp(-limit, limit) + 0.5).floor().numpy().astype(dtype)
    bias = learned.bias[layer].double()
    if layer in learned.shift:
        bias = bias + (learned.shift[layer].detach() * learned.unit[layer]).double()
    return QuantizedWeight(q, simulation.weights[layer].scale), bias.numpy()


def _row_of(
    start: FittedLayer, weight: QuantizedWeight, bias: Float64, memory: Memory
) -> FittedLayer:
    put = memory.store.put
    return start.replace(
        weight=LayerWeight(layer=start.layer, q=put(weight.q), scale=put(weight.scale)),
        bias=LayerBias(layer=start.layer, bias=put(bias)),
        kept=(*start.kept, "reconstructed"),
    )


def _row(walk: Walk, root: str, bits: int, growth: float) -> TensorRange:
    """Return the range of a tensor whose step grew by ``exp(growth)``."""
    own = walk.table.find(root, bits)
    factor = math.exp(growth)
    return own.replace(low=own.low * factor, high=own.high * factor)
