"""Step ``tune``: what changes in the network between allocation and lowering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.tuning import LayerBias, Tuning
from hawqlang.stages.batches import Stream
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.memory import Memory
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.tune.best import descend
from hawqlang.stages.tune.bias_correction import (
    BiasCorrection,
    correct_biases,
    wants_correction,
)
from hawqlang.stages.tune.recipe import Chosen, adaptive, bench, close_form, equalize, pool
from hawqlang.stages.tune.replay import LEAST_SAMPLES

__all__ = ["BiasCorrection", "Effort", "Memory", "Subject", "correct_biases", "fit", "tune"]


def tune(
    model: FloatModel,
    table: RangeTable,
    deployment: Deployment,
    samples: Stream,
    store: TensorStore,
    feedback: Feedback,
) -> Tuning:
    """Return the biases that the network is deployed with where they differ from its own.

    Args:
        model: The float network.
        table: Ranges of everything that is stored.
        deployment: Precision and settings of every layer.
        samples: Calibration samples as the network sees them.
        store: Takes the corrected biases.
        feedback: Gets layers done, and a note where the correction was dropped (HQ430) or there
            were too few samples to judge it (HQ431).
    """
    if not wants_correction(model.graph, deployment):
        return Tuning()
    found = correct_biases(model, Simulation(model, table, deployment), samples, feedback)
    if found is None:
        feedback.report(_too_few("biases are not corrected"))
        return Tuning()
    if not found.kept:
        feedback.report(
            Diagnostic(
                code="HQ430",
                severity="note",
                message="the bias correction was dropped: it does not bring held-out samples "
                f"closer to the float network (error {found.error_before:.2g} without, "
                f"{found.error_after:.2g} with it)",
            )
        )
    kept = found.biases if found.kept else {}
    return Tuning(
        biases=tuple(LayerBias(layer=name, bias=store.put(b)) for name, b in kept.items()),
        kept=found.kept,
        error_before=found.error_before,
        error_after=found.error_after,
        fitted=found.fitted,
        held_out=found.held_out,
    )


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard weights are worked on beyond the closed form."""

    ranges_of: Callable[[FloatModel], RangeTable] | None = None
    """Calibrates a network again; where it is given, weights are equalized and blocks reconstructed by gradient too."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """A network that is to be deployed at certain precisions."""

    model: FloatModel
    table: RangeTable
    """Ranges of everything that is stored."""
    deployment: Deployment
    """Precision and settings of every layer."""
    samples: Stream
    """Calibration samples as the network sees them; read several times."""


def fit(subject: Subject, memory: Memory, feedback: Feedback, effort: Effort) -> Tuning:
    """Return the integer weights, scales and biases that the network is deployed with.

    Where no layer asks for adaptive rounding this is :func:`tune`.

    Args:
        subject: The network, its ranges, precisions and samples.
        memory: Remembers settled layers, and takes what was found.
        feedback: Gets layers done, and notes on what was dropped (HQ430, HQ432) or not tried (HQ431).
        effort: How hard.
    """
    model, table = subject.model, subject.table
    deployment, samples = subject.deployment, subject.samples
    if not any(adaptive(own) for own in deployment.settings.values()):
        return tune(model, table, deployment, samples, memory.store, feedback)
    with torch.inference_mode():
        own = bench(model, table, deployment, samples)
        if own is None:
            feedback.report(_too_few("weights are rounded to nearest and biases not corrected"))
            return Tuning()
        chosen = close_form(own, memory, feedback)
        if effort.ranges_of is not None:
            chosen = equalize(chosen, effort.ranges_of, memory, feedback)
            chosen = descend(chosen, memory, effort.seed, feedback)
        return _tuning(pool(chosen, memory, feedback), table)


def _tuning(chosen: Chosen, table: RangeTable) -> Tuning:
    """Return what was chosen, as a noun that crosses steps; ``table`` holds the calibrated ranges."""
    layers, trials = chosen.layers, chosen.bench.trials
    held = int(chosen.bench.held.sum())
    calibrated = set(table.ranges)
    return Tuning(
        biases=tuple(row.bias for row in layers if row.bias is not None),
        weights=tuple(row.weight for row in layers if row.weight is not None),
        ranges=tuple(row for row in chosen.table.ranges if row not in calibrated),
        kept=bool(layers),
        error_before=trials[0].error,
        error_after=chosen.bench.least if layers else min(t.error for t in trials[1:]),
        fitted=chosen.bench.replay.count - held,
        held_out=held,
        pooled=chosen.pooled,
        layers=layers,
        trials=tuple(trials),
    )


def _too_few(what: str) -> Diagnostic:
    return Diagnostic(
        code="HQ431",
        severity="note",
        message=f"{what}: that takes at least {LEAST_SAMPLES} calibration samples",
    )
