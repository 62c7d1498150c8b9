"""Block-wise reconstruction by gradient, from where the closed form ended.

A block reads the quantized tensor that everything fixed before it produces and is to give the float network's output of
the block; the weights, biases and steps of its layers are trained together for that (Li et al., "BRECQ"; integers by a
straight-through latent). What counts of an output element y is how much the logits z change with it,

    w = E (∂(v'z)/∂y)²,   v random signs, centred

the diagonal of J'J in the place of BRECQ's Fisher information (equation 10), which it is but for a weight of each
class. It does not vanish, as a loss does, on samples the network is certain about. A block keeps the result only where
the weighted error of its output falls on samples held out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hawqlang.ir.graph import Graph, Operator
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.ir.tuning import FittedBlock, FittedLayer
from hawqlang.stages.batches import chunk_size, gradient_batch
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.memory import Memory
from hawqlang.stages.quantize import stored_params
from hawqlang.stages.simulate import Key, Simulation
from hawqlang.stages.structure import Form
from hawqlang.stages.tune.blocks import Block, blocks
from hawqlang.stages.tune.distil import KEPT, steps_of
from hawqlang.stages.tune.learner import Learner, give
from hawqlang.stages.tune.replay import Replay, held_out

LARGEST_BATCH = 32

RATE = 1e-3
"""Of steps, in their logarithm, and of all else as ``learner`` says."""

SHARE = 0.25
"""Steps for each block, as a share of those of the whole network."""

BYTES = 384 * 2**20
"""Bound of one float map of all samples."""


@dataclass(slots=True)
class Walk:
    """The quantized and the float network, both at the same cut."""

    replay: Replay
    model: FloatModel
    table: RangeTable
    x: torch.Tensor
    """The float value there, of all samples."""
    learner: Learner

    @property
    def simulation(self) -> Simulation:
        """Return the quantized network."""
        return self.replay.simulation


@dataclass(frozen=True, slots=True)
class _Task:
    """One block to be trained."""

    block: Block
    y: torch.Tensor
    """What the float network gives, for all samples."""
    weight: torch.Tensor
    """What each element of it counts."""
    layers: tuple[str, ...]
    """Its layers that may change."""
    forms: tuple[Form, ...]
    """Of what it stores, those whose step may change."""
    generator: torch.Generator


def most_samples(graph: Graph) -> int:
    """Return how many samples' float maps fit :data:`BYTES` at any cut."""
    shapes = {value.name: value.shape for value in graph.values}
    largest = max(math.prod(shapes[name]) for block in blocks(graph) for name in (block.x, block.y))
    return max(1, BYTES // (4 * largest))


def reconstruct(
    walk: Walk,
    start: Mapping[str, FittedLayer],
    memory: Memory,
    seed: int,
    feedback: Feedback,
) -> tuple[FittedLayer, ...]:
    """Return what became of every layer; the walk's table then holds the steps that were learned.

    Args:
        walk: Both networks at their input; the simulation rounded to nearest.
        start: What the closed form made of each layer.
        memory: Remembers settled blocks.
        seed: Draws batches, signs and dropped elements.
        feedback: Gets layers done.
    """
    simulation, learner = walk.simulation, walk.learner
    found: dict[str, FittedLayer] = {}
    parts = blocks(simulation.graph)
    for number, block in enumerate(parts):
        feedback.doing(block.layers[-1].name if block.layers else block.y)
        for node in block.layers:
            give(simulation, start[node.name], memory)
        y = _float_output(walk, block)

        def train(block: Block = block, y: torch.Tensor = y, number: int = number) -> FittedBlock:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            layers = tuple(n.name for n in block.layers if n.name in learner.quantizers)
            inside = {node.output for node in block.nodes}
            forms = tuple(form for form in learner.log_steps if form.root in inside)
            weight = importance(walk, block, y, generator)
            return _train(walk, _Task(block, y, weight, layers, forms, generator), start, memory)

        result = memory.block(block.y, train)
        _take(walk, result.ranges)
        chosen = {row.layer: row for row in result.layers}
        for node in block.layers:
            found[node.name] = chosen.get(node.name, start[node.name])
            give(simulation, found[node.name], memory)
        for node in block.nodes:
            walk.replay.advance(node)
        walk.x = y
        feedback.progress(number + 1, len(parts))
    return tuple(found.values())


def _take(walk: Walk, rows: tuple[TensorRange, ...]) -> None:
    """Store tensors in other ranges from now on."""
    if not rows:
        return
    walk.table = walk.table.with_rows(rows)
    simulation, learner = walk.simulation, walk.learner
    simulation.params.update(stored_params(simulation.graph, walk.table))
    for row in rows:
        form = Form(row.tensor, row.bits)
        learner.log_steps[form].data.fill_(math.log(simulation.params[form].scale))


def _float_output(walk: Walk, block: Block) -> torch.Tensor:
    """Return the float network's output of a block for all samples."""
    with torch.no_grad():
        return torch.cat(
            [
                _through(walk, block.nodes, block.x, walk.x[at])[block.y]
                for at in walk.replay.spans()
            ]
        )


def _through(
    walk: Walk, nodes: tuple[Operator, ...], name: str, x: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return what some float operators give that read ``x`` and one another only."""
    values = {name: x}
    for node in nodes:
        values[node.output] = evaluate(node, values, walk.model.parameters)
    return values


def importance(
    walk: Walk, block: Block, y: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return how much each element of the float output counts, on average 1; shaped as ``y``."""
    graph = walk.simulation.graph
    behind = graph.nodes[graph.nodes.index(block.nodes[-1]) + 1 :]
    size = min(chunk_size(graph), gradient_batch(graph, len(y), KEPT))
    parts: list[torch.Tensor] = []
    for first in range(0, len(y), size):
        leaf = y[first : first + size].clone().requires_grad_()
        z = _through(walk, behind, block.y, leaf)[graph.output]
        signs = torch.randint(0, 2, z.shape, generator=generator) * 2.0 - 1.0
        signs -= signs.mean(1, keepdim=True)
        (grad,) = torch.autograd.grad((signs * z).sum(), leaf)
        parts.append(grad.square_())
    found = torch.cat(parts)
    return found / found.mean().clamp_min(1e-30)


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
    outputs = [found for key, found in state.items() if key.value == block.y]
    state.clear()  # `lookup` refers to itself: what it holds would live until garbage is collected
    return outputs


def _error(walk: Walk, task: _Task, which: torch.Tensor) -> float:
    """Return the weighted squared error of the block's output on some samples, relative to its weighted power."""
    error = power = 0.0
    with torch.no_grad():
        for start in range(0, len(which), walk.replay.size):
            at = which[start : start + walk.replay.size]
            y, weight = task.y[at].double(), task.weight[at].double()
            for got in _outputs(walk.simulation, walk.replay, task.block, at):
                error += float((weight * (got - y).square()).sum())
                power += float((weight * y.square()).sum())
    return error / power if power > 0 else error


def _train(
    walk: Walk, task: _Task, start: Mapping[str, FittedLayer], memory: Memory
) -> FittedBlock:
    """Return what training makes of a block."""
    learner, simulation = walk.learner, walk.simulation
    held = held_out(walk.replay.count)
    judged = held.nonzero()[:, 0]
    before = _error(walk, task, judged)
    none = FittedBlock(layers=(), ranges=(), error_before=before, error_after=before)
    if not task.layers:
        return none
    leaves = [leaf for _, own in learner.groups(task.layers, task.forms) for leaf in own]
    old = [leaf.detach().clone() for leaf in leaves]
    table = walk.table
    _descend(walk, task, (~held).nonzero()[:, 0])
    wanted = set(task.forms)
    ranges = tuple(r for r in learner.exported_ranges() if Form(r.tensor, r.bits) in wanted)
    rows = learner.rows(start, task.layers, memory)
    _take(walk, ranges)
    for row in rows:
        give(simulation, row, memory)
    after = _error(walk, task, judged)
    if after < before:
        kept = tuple(row.replace(kept=(*row.kept, "reconstructed")) for row in rows)
        return FittedBlock(layers=kept, ranges=ranges, error_before=before, error_after=after)
    walk.table = table
    simulation.params.update(stored_params(simulation.graph, table))
    for leaf, value in zip(leaves, old, strict=True):
        leaf.data.copy_(value)
    return none.replace(error_after=after)


def _descend(walk: Walk, task: _Task, fitted: torch.Tensor) -> None:
    """Train a block on the fitted samples: Adam with a cosine schedule on the weighted error of its output."""
    learner, graph = walk.learner, walk.simulation.graph
    batch = min(LARGEST_BATCH, gradient_batch(graph, len(fitted), KEPT))
    count = max(1, int(SHARE * steps_of(graph, batch)))
    groups = learner.groups(task.layers, task.forms)
    optimizer = torch.optim.Adam([{"params": own, "lr": RATE * rate} for rate, own in groups])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count)
    power = (task.weight * task.y.square()).mean().clamp_min(1e-12)
    learner.generator = task.generator
    for _ in range(count):
        at = fitted[torch.randint(len(fitted), (batch,), generator=task.generator)]
        learner.prepare(task.block.layers)
        y, weight = task.y[at], task.weight[at]
        outputs = _outputs(learner, walk.replay, task.block, at)
        loss = sum(((weight * (got - y).square()).mean() for got in outputs), torch.zeros(()))
        optimizer.zero_grad()
        (loss / power).backward()
        optimizer.step()
        schedule.step()
    learner.generator = None
