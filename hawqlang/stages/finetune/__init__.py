"""``finetune = …``: the quantized network is trained on, and what it learns is deployed as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch

from hawqlang.arith.width import LIMITS, largest_magnitude, level_bits, weight_range
from hawqlang.base import Span
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import Finetune, Input
from hawqlang.ir.tuning import FineTuning, LayerBias, Tuning
from hawqlang.stages.batches import gradient_batch
from hawqlang.stages.data import Samples
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.finetune.bounded import BoundedStep
from hawqlang.stages.finetune.judge import Judge
from hawqlang.stages.finetune.lessons import prepare
from hawqlang.stages.finetune.levels import NearestLevel
from hawqlang.stages.finetune.mean_field import MeanField
from hawqlang.stages.finetune.objective import Objective
from hawqlang.stages.finetune.quantizers import LearnedStep, WeightQuantizer
from hawqlang.stages.finetune.trainable import Begin, Trainable
from hawqlang.stages.finetune.training import Schedule, Teacher, Training, exactly
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.memory import Memory
from hawqlang.stages.quantize import QuantizedWeight, stored_params
from hawqlang.stages.simulate import Deployment
from hawqlang.stages.structure import Form, LayerNode, range_root
from hawqlang.stages.tuned_weights import kept_weight
from hawqlang.stages.zero_shot import SyntheticSamples

__all__ = ["Pupil", "begins_afresh", "finetune", "network_of"]

RATE = 1e-4
"""Learning rate of weights where the spec gives none."""

KEPT = 40
"""Bytes kept of every element of every value to differentiate it: the value before and after each rounding."""


@dataclass(frozen=True, slots=True)
class Pupil:
    """A quantized network before training."""

    model: FloatModel
    table: RangeTable
    deployment: Deployment
    """Of the tuning that was found before, whose weights and biases it holds."""
    input: Input
    span: Span
    """What messages about training point at."""


def finetune(
    pupil: Pupil, before: Tuning, samples: Samples, seed: int, memory: Memory, feedback: Feedback
) -> Tuning:
    """Return the tuning with what training found, where that is better on samples held out.

    Args:
        pupil: The network.
        before: What it is deployed with without training.
        samples: Training samples, with labels.
        seed: Of everything random.
        memory: Keeps a checkpoint of every epoch, and takes what was found.
        feedback: Gets steps done, and a note where training was dropped (HQ451).

    Raises:
        HawqError: The samples have no labels (HQ450), or layers disagree about the training (HQ452).
    """
    chosen = _trained_layers(pupil)
    if not chosen:
        return before
    how = _agreed(pupil, chosen)
    if samples.labels is None:
        raise HawqError(_unlabelled(pupil))
    distill = bool(dict(how.arguments).get("distill", False))
    lesson = prepare(samples, samples.labels, pupil.input, mirrored=distill)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network_of(pupil, how)
    network.to(device)
    teacher = Teacher(pupil.model, device)
    schedule = Schedule(
        epochs=how.epochs,
        rate=float(dict(how.arguments).get("lr", RATE)),
        batch=gradient_batch(pupil.model.graph, len(lesson.trained), KEPT),
        seed=seed,
    )
    objective = Objective(distill)
    judge = Judge(pupil.model, pupil.table, network, lesson, objective)
    training = Training(network, teacher, lesson, objective, schedule)
    with exactly(device):
        errors = training.train(judge.error, memory, feedback)
    best = min(range(len(errors)), key=errors.__getitem__)
    needed = how.method != "qat" or bool(
        how.levels
    )  # its weights are of a kind that the network did not have before
    outcome = FineTuning(
        method=how.method,
        epochs=how.epochs,
        best=best,
        distilled=distill,
        synthetic=isinstance(samples, SyntheticSamples),
        trained=len(lesson.trained),
        held_out=len(lesson.judged),
        errors=errors,
        kept=best > 0 or needed,
        layers=len(chosen),
    )
    if not outcome.kept:
        feedback.report(_dropped(outcome))
        return before.replace(training=outcome)
    return _learned(before, network, memory.store).replace(training=outcome)


def begins_afresh(layers: Collection[LayerSettings]) -> bool:
    """Return whether training begins at the float network in every layer, so that nothing need be fitted before."""
    return all(own.finetune is not None and own.finetune.levels for own in layers)


def _start(pupil: Pupil, how: Finetune, chosen: Collection[str]) -> Deployment:
    """Return what training begins with: what was fitted before, or the float network where levels emerge from it."""
    if not how.levels:
        return pupil.deployment
    fitted = pupil.deployment
    return replace(
        fitted,
        weights={name: w for name, w in fitted.weights.items() if name not in chosen},
        biases={name: b for name, b in fitted.biases.items() if name not in chosen},
    )


def network_of(pupil: Pupil, how: Finetune) -> Trainable:
    """Return the network in training, as it begins, on the CPU."""
    chosen = _trained_layers(pupil)
    return Trainable(
        pupil.model, pupil.table, _start(pupil, how, chosen), chosen, _begin(pupil, how)
    )


def _trained_layers(pupil: Pupil) -> dict[str, Finetune]:
    """Return what each layer that learns asks for."""
    return {
        name: own.finetune
        for name, own in pupil.deployment.settings.items()
        if own.finetune is not None
    }


def _begin(pupil: Pupil, how: Finetune) -> Begin:
    """Return what makes a layer's weight in training."""
    signed = stored_params(pupil.model.graph, pupil.table)
    roots = range_root(pupil.model.graph)

    def begin(node: LayerNode, given: QuantizedWeight, start: torch.Tensor) -> WeightQuantizer:
        own, precision = pupil.deployment.settings[node.name], pupil.deployment.precision[node.name]
        limit = weight_range(precision.wbits)[1]
        if how.levels and precision.wbits == level_bits(how.levels):
            kind = MeanField if how.method == "mean_field" else NearestLevel
            shared = own.weights.granularity == "per_tensor"
            return kind(pupil.model.parameters[node.weight], how.levels, shared=shared)
        if own.accumulator != "int32":
            form = Form(roots[node.x], precision.abits)
            largest = largest_magnitude(precision.abits, signed=signed[form].signed)
            return BoundedStep(start, given, limit, LIMITS[own.accumulator] // largest)
        return LearnedStep(start, given, limit)

    return begin


def _agreed(pupil: Pupil, chosen: Mapping[str, Finetune]) -> Finetune:
    """Return the training that all layers ask for."""
    names = list(chosen)
    first = chosen[names[0]]
    for name in names:
        if chosen[name] != first:
            raise HawqError(
                Diagnostic(
                    code="HQ452",
                    severity="error",
                    message=f"'{names[0]}' and '{name}' ask for different trainings; all layers are trained together",
                    span=pupil.span,
                    help="set one `finetune` for the build, and `finetune = none` in `layer` blocks for those that "
                    "keep their weights",
                )
            )
    if first.levels:
        bits = level_bits(first.levels)
        widths = {name: pupil.deployment.precision[name].wbits for name in names}
        narrow = [name for name in names if widths[name] < bits]
        if narrow or bits not in widths.values():
            raise HawqError(_misfit(pupil, first, bits, narrow))
    return first


def _misfit(pupil: Pupil, how: Finetune, bits: int, narrow: list[str]) -> Diagnostic:
    """Return the error of levels that do not belong to the precisions."""
    levels = f"levels {list(how.levels)} need {bits}-bit weights"
    message = f"no layer has weights of {bits} bits: {levels}"
    if narrow:
        bits_there = pupil.deployment.precision[narrow[0]].wbits
        message = f"{levels}, '{narrow[0]}' has {bits_there}"
    return Diagnostic(
        code="HQ453",
        severity="error",
        message=message,
        span=pupil.span,
        help=f"give the layers that are to take the levels `precision = w{bits}a8` or the like; layers of more bits "
        "are trained on a uniform grid beside them",
    )


def _learned(before: Tuning, network: Trainable, store: TensorStore) -> Tuning:
    """Return the tuning with the network's weights, biases and ranges in place of the old ones."""
    weights, biases = network.exported_weights(), network.exported_biases()
    return before.replace(
        weights=(
            *(row for row in before.weights if row.layer not in weights),
            *(kept_weight(store, name, w) for name, w in weights.items()),
        ),
        biases=(
            *(row for row in before.biases if row.layer not in biases),
            *(LayerBias(layer=name, bias=store.put(b)) for name, b in biases.items()),
        ),
        ranges=network.exported_ranges(),
    )


def _unlabelled(pupil: Pupil) -> Diagnostic:
    return Diagnostic(
        code="HQ450",
        severity="error",
        message="the training samples have no labels",
        span=pupil.span,
        help='name them: training = images("train/", labels = "train.csv") or arrays("train.npz", labels = "y")',
    )


def _dropped(found: FineTuning) -> Diagnostic:
    later = list(found.errors)[1:]
    after = f"{min(later):.3g}" if later else "it diverged"
    return Diagnostic(
        code="HQ451",
        severity="note",
        message=f"the fine-tuning was dropped: after none of its {found.epochs} epochs the loss on held-out samples is "
        f"lower (before: {found.errors[0]:.3g}, at best: {after})",
        help="train longer, with another rate (lr = …), or with `distill = true`",
    )
