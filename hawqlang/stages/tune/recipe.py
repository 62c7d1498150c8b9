"""Which corrections the network is deployed with: each is tried on the whole of it, and held-out samples decide.

From plain rounding upwards every attempt adds corrections to the one before: biases, then rounding and scales by the
error of the output, then refitted weights. In all of them a layer that completes a sum is fitted to that sum; in the
last every layer answers for itself alone. Within an attempt a layer takes only what lowers the error of its own
output (``sequential``); an attempt is kept only if it lowers the divergence of the network's classes from the float
network's, on samples that nothing was fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.tuning import Correction, FittedLayer, Trial
from hawqlang.stages.batches import Stream
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.memory import Memory
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune.equalize import equalized
from hawqlang.stages.tune.reference import Reference
from hawqlang.stages.tune.replay import (
    LEAST_SAMPLES,
    Replay,
    divergence,
    held_out,
    sample_limit,
)
from hawqlang.stages.tune.sequential import ORDER, complete, fit_layers, pool_layers

ATTEMPTS: tuple[tuple[Correction, ...], ...] = (
    ("bias", "sums"),
    ("bias", "rounding", "scales", "sums"),
    ("bias", "rounding", "scales", "refit", "sums"),
    ("bias", "rounding", "scales", "refit"),
)
"""Without sums in the network the last is the one before it, and is not tried again."""

WORDS: Mapping[Correction, str] = {
    "bias": "corrected biases",
    "rounding": "rounding by output error",
    "scales": "scales by output error",
    "refit": "refitted weights",
    "sums": "sums as targets",
    "equalized": "equalized layers",
    "reconstructed": "reconstructed blocks",
    "distilled": "training by the float network's answers",
}
"""How a reader is told of each."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A network, its samples, and what is known of them."""

    model: FloatModel
    table: RangeTable
    deployment: Deployment
    replay: Replay
    reference: Reference

    @property
    def held(self) -> torch.Tensor:
        """Return which samples are held out."""
        return held_out(self.replay.count)

    samples: Stream
    trials: list[Trial] = field(default_factory=list[Trial])

    def simulation(self, table: RangeTable | None = None) -> Simulation:
        """Return the network rounded to nearest, in the calibrated ranges or in others."""
        return Simulation(self.model, table or self.table, self.deployment)

    def judge(self, logits: torch.Tensor) -> float:
        """Return the error of held-out samples' logits."""
        return divergence(logits, self.reference.logits[self.held])

    @property
    def least(self) -> float:
        """Return the error of the best attempt that was kept."""
        return min(trial.error for trial in self.trials if trial.kept)

    def try_out(
        self, corrections: tuple[Correction, ...], error: float, *, sure: bool = True
    ) -> bool:
        """Note an attempt and return whether it is the best so far; one that is not ``sure`` to be better is not."""
        kept = not self.trials or (sure and error < self.least)
        self.trials.append(Trial(corrections=corrections, error=error, kept=kept))
        return kept


@dataclass(frozen=True, slots=True)
class Chosen:
    """The attempt that held-out samples liked best."""

    layers: tuple[FittedLayer, ...]
    """Empty where nothing beat plain rounding."""
    bench: Bench
    """The network they belong to: the given one, or the same function with equalized weights."""
    table: RangeTable
    """Ranges of everything that is stored."""
    pooled: bool = False
    """Whether held-out samples, having decided, were fitted on too."""

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """Return what was kept."""
        return next(t.corrections for t in reversed(self.bench.trials) if t.kept)


def adaptive(settings: LayerSettings) -> bool:
    """Return whether a layer's settings ask for rounding by output error."""
    return settings.weights.rounding == "adaptive"


def allowed(
    corrections: tuple[Correction, ...], settings: Mapping[str, LayerSettings]
) -> dict[str, frozenset[Correction]]:
    """Return what an attempt may do to each layer."""
    aims = frozenset[Correction](("sums",) if "sums" in corrections else ())

    def steps(own: LayerSettings) -> frozenset[Correction]:
        asked = set(corrections) - aims
        if not own.bias_correction:
            asked -= {"bias"}
        if not adaptive(own):
            asked &= {"bias"}
        return frozenset(asked) | aims if asked else frozenset()

    return {name: steps(own) for name, own in settings.items()}


def bench(
    model: FloatModel, table: RangeTable, deployment: Deployment, samples: Stream
) -> Bench | None:
    """Return a network with as many samples as the bounds on memory and work allow; ``None``: too few to judge."""
    plain = Simulation(model, table, deployment)
    room = samples.first(sample_limit(plain))
    replay = Replay(plain, room)
    if replay.count < LEAST_SAMPLES:
        return None
    return Bench(model, table, deployment, replay, Reference(model, room), room)


def close_form(bench: Bench, memory: Memory, feedback: Feedback) -> Chosen:
    """Return the best of :data:`ATTEMPTS`; plain rounding where none is better.

    Args:
        bench: The network with its samples.
        memory: Remembers settled layers.
        feedback: Gets layers done, and a note for every attempt that was dropped (HQ432).
    """
    names = [node.name for node in layer_nodes(bench.model.graph)]
    settings = {name: bench.deployment.settings[name] for name in names}
    bench.reference.outputs(layer_nodes(bench.model.graph)[0], whole=True)
    plain = bench.replay.again(bench.replay.simulation, bench.held)
    bench.try_out((), bench.judge(plain.finish()))
    best: tuple[FittedLayer, ...] = ()
    before: dict[str, frozenset[Correction]] = dict.fromkeys(names, frozenset())
    for attempt in ATTEMPTS:
        corrections = attempt if bench.reference.sums else _without_sums(attempt)
        asked = allowed(corrections, settings)
        if asked == before:
            continue
        before = asked
        replay = bench.replay.again(bench.simulation())
        found = fit_layers(replay, bench.reference, asked, memory.of(corrections), feedback)
        error = bench.judge(replay.codes[replay.simulation.logits][bench.held])
        if bench.try_out(corrections, error):
            best = found
        else:
            feedback.report(dropped(bench.trials))
    return Chosen(best, bench, bench.table)


def _without_sums(attempt: tuple[Correction, ...]) -> tuple[Correction, ...]:
    """Return an attempt for a network in which no layer completes a sum."""
    return tuple(step for step in attempt if step in ORDER)


def pool(chosen: Chosen, memory: Memory, feedback: Feedback) -> Chosen:
    """Return a choice of the closed form fitted once more, on all samples: those held out have done their part.

    Nothing is decided anew: every layer takes the steps that it kept. The choice itself comes back where the
    held-out samples, now fitted on, are further from the float network than before.

    Args:
        chosen: Where the closed form ended, on equalized weights or not.
        memory: Remembers settled layers.
        feedback: Gets layers done.
    """
    bench = chosen.bench
    if not chosen.layers or {"reconstructed", "distilled"} & set(chosen.corrections):
        return chosen
    replay = bench.replay.again(bench.simulation(chosen.table))
    own = memory.of("all samples", *(row.model_dump_json() for row in chosen.layers))
    rows = {row.layer: row for row in chosen.layers}
    asked = allowed(chosen.corrections, bench.deployment.settings)
    found = pool_layers(replay, bench.reference, asked, rows, own, feedback)
    error = bench.judge(replay.codes[replay.simulation.logits][bench.held])
    if error > bench.least:
        return chosen
    return replace(chosen, layers=found, pooled=True)


def equalize(
    chosen: Chosen,
    ranges_of: Callable[[FloatModel], RangeTable],
    memory: Memory,
    feedback: Feedback,
) -> Chosen:
    """Return the same corrections on equalized weights, or the choice itself where those are better.

    Args:
        chosen: Where the closed form ended.
        ranges_of: Calibrates a network again.
        memory: Remembers settled layers.
        feedback: Gets layers done, and a note where nothing came of it (HQ432).
    """
    bench, settings = chosen.bench, chosen.bench.deployment.settings
    model = equalized(bench.model)
    if model is bench.model or not all(adaptive(own) for own in settings.values()):
        return chosen
    bench.reference.forget()
    table = ranges_of(model)
    even = replace(bench, model=model, table=table, reference=Reference(model, bench.samples))
    corrections: tuple[Correction, ...] = ("equalized", *chosen.corrections)
    replay = bench.replay.again(even.simulation())
    own = memory.of(corrections)
    even.reference.outputs(layer_nodes(model.graph)[0], whole="sums" in corrections)
    found = fit_layers(replay, even.reference, allowed(corrections, settings), own, feedback)
    error = even.judge(replay.codes[replay.simulation.logits][bench.held])
    if bench.try_out(corrections, error):
        whole = tuple(complete(replay.simulation, row, own) for row in found)
        return Chosen(whole, even, table)
    feedback.report(dropped(bench.trials))
    return chosen


def dropped(trials: list[Trial]) -> Diagnostic:
    """Return the note on the last attempt, which did no good."""
    best = min(trial.error for trial in trials if trial.kept)
    words = ", ".join(WORDS[c] for c in trials[-1].corrections)
    return Diagnostic(
        code="HQ432",
        severity="note",
        message=f"dropped: {words}; held-out samples do not clearly come closer to the float network "
        f"(divergence {best:.2g} without, {trials[-1].error:.2g} with it)",
    )
