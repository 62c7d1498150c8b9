"""``effort = best``: what gradients make of the closed form, block by block and then as a whole.

Each of the two is an attempt like those of ``recipe``: the network keeps it only if its classes come closer to the
float network's on samples that nothing was fitted on, and by more than the standard error of that. Many states are
judged on the same samples here, so that a little better by chance is not enough.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.tuning import Correction, FittedLayer
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.memory import Memory
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune.distil import RATES, distil
from hawqlang.stages.tune.learner import Learner, deployed
from hawqlang.stages.tune.recipe import Bench, Chosen, adaptive, dropped
from hawqlang.stages.tune.reconstruct import Walk, most_samples, reconstruct
from hawqlang.stages.tune.replay import divergences, held_out
from hawqlang.stages.tune.sequential import apply, untouched


def trainable(settings: LayerSettings, wbits: int) -> bool:
    """Return whether gradients may change a layer; a narrow accumulator's bound is kept for symmetric weights only."""
    weights = settings.weights
    plain = weights.scheme == "symmetric" and isinstance(weights.granularity, str)
    return wbits > 1 and adaptive(settings) and (plain or settings.accumulator == "int32")


def descend(chosen: Chosen, memory: Memory, seed: int, feedback: Feedback) -> Chosen:
    """Return what gradients make of a choice, or the choice itself where that is better.

    Args:
        chosen: Where the closed form ended.
        memory: Remembers settled blocks and parts of the training.
        seed: Draws batches, views and dropped elements.
        feedback: Gets blocks and steps done, and a note where nothing came of it (HQ432).
    """
    deployment = chosen.bench.deployment
    names = [node.name for node in layer_nodes(chosen.bench.model.graph)]
    free = [
        name
        for name in names
        if trainable(deployment.settings[name], deployment.precision[name].wbits)
    ]
    if not free:
        return chosen
    chosen.bench.reference.forget()
    with torch.inference_mode(mode=False), torch.enable_grad():
        found = _by_blocks(chosen, free, memory, seed, feedback)
        for number, rate in enumerate(RATES):
            found = _as_a_whole(found, free, (rate, len(RATES) * seed + number), memory, feedback)
        return found


def _by_blocks(
    chosen: Chosen, free: list[str], memory: Memory, seed: int, feedback: Feedback
) -> Chosen:
    """Return the choice after reconstruction of its blocks, where that is better."""
    bench, start = chosen.bench, _start(chosen)
    graph = bench.model.graph
    count = min(bench.replay.count, most_samples(graph))
    some = torch.arange(bench.replay.count) < count
    walk = Walk(
        bench.replay.again(bench.simulation(chosen.table), some),
        _normal(bench.model),
        chosen.table,
        torch.cat(list(bench.samples.first(count).batches(bench.replay.size))),
        _learner(chosen, start, free, memory),
    )
    own = memory.of("reconstructed", *(row.model_dump_json() for row in start.values()))
    layers = reconstruct(walk, start, own, seed, feedback)
    return _judged(chosen, layers, walk.table, "reconstructed", memory, feedback)


def _as_a_whole(
    chosen: Chosen, free: list[str], how: tuple[float, int], memory: Memory, feedback: Feedback
) -> Chosen:
    """Return the choice after training against the float network's answers, where that is better."""
    bench, start = chosen.bench, _start(chosen)
    learner = _learner(chosen, start, free, memory)
    x = torch.cat(list(bench.samples.first(bench.replay.count).batches(bench.replay.size)))

    def found() -> tuple[tuple[FittedLayer, ...], RangeTable]:
        rows = {row.layer: row for row in learner.rows(start, free, memory)}
        layers = tuple(rows.get(name, row) for name, row in start.items())
        return layers, chosen.table.with_rows(learner.exported_ranges())

    feedback.doing("all layers")
    own = memory.of(
        "distilled", how, chosen.table, *(row.model_dump_json() for row in start.values())
    )

    def judge() -> float:
        return float(_divergences(bench, *found(), memory).mean())

    distil(learner, x[~held_out(len(x))], judge, how, own, feedback)
    layers, table = found()
    free_rows = set(free)
    layers = tuple(
        row.replace(kept=_with(row.kept, "distilled")) if row.layer in free_rows else row
        for row in layers
    )
    return _judged(chosen, layers, table, "distilled", memory, feedback)


def _judged(
    chosen: Chosen,
    layers: tuple[FittedLayer, ...],
    table: RangeTable,
    step: Correction,
    memory: Memory,
    feedback: Feedback,
) -> Chosen:
    """Return a new choice where its divergence on held-out samples is the least so far."""
    bench = chosen.bench
    steps = _with(chosen.corrections, step)
    before = _divergences(bench, chosen.layers, chosen.table, memory)
    after = _divergences(bench, layers, table, memory)
    if bench.try_out(steps, float(after.mean()), sure=surely_less(after, before)):
        return replace(chosen, layers=layers, table=table)
    feedback.report(dropped(bench.trials))
    return chosen


def _with(kept: tuple[Correction, ...], step: Correction) -> tuple[Correction, ...]:
    """Return corrections with one more, which may be among them already."""
    return kept if step in kept else (*kept, step)


def surely_less(after: torch.Tensor, before: torch.Tensor) -> bool:
    """Return whether samples ``(N,)`` are less on average by more than the standard error of their differences."""
    gain = before - after
    return float(gain.mean()) > float(gain.std()) / math.sqrt(len(gain))


def _divergences(
    bench: Bench, layers: tuple[FittedLayer, ...], table: RangeTable, memory: Memory
) -> torch.Tensor:
    """Return the divergence of held-out samples' classes, each; everything is rounded as it is deployed."""
    with torch.inference_mode():
        final = bench.replay.again(bench.simulation(table), bench.held)
        for row in layers:
            apply(final.simulation, row, memory)
        return divergences(final.finish(), bench.reference.logits[bench.held])


def _start(chosen: Chosen) -> dict[str, FittedLayer]:
    """Return every layer as it was chosen, in execution order."""
    found = {node.name: untouched(node.name) for node in layer_nodes(chosen.bench.model.graph)}
    return found | {row.layer: row for row in chosen.layers}


def _learner(
    chosen: Chosen, start: Mapping[str, FittedLayer], free: list[str], memory: Memory
) -> Learner:
    bench = chosen.bench
    deployment = deployed(bench.deployment, start, memory)
    return Learner(_normal(bench.model), chosen.table, deployment, free, bench.samples)


def _normal(model: FloatModel) -> FloatModel:
    """Return the same network with parameters that autograd may keep."""
    own = copy.copy(model)
    own.parameters = {name: p.clone() for name, p in model.parameters.items()}
    return own
