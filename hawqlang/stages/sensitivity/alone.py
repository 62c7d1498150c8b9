"""What quantizing one layer alone does to the network's result: measured, layer by layer.

With weights and input of one layer stored at a candidate's bits and everything else in float, over samples,

    kl         mean KL(p || q) = mean sum p (log p - log q)     p, q: class probabilities without and with the change
    measured   mean (log p - log q) at the label                the increase of the cross entropy

Where biases are corrected, the mean error of each of the layer's channels is taken away first, as the correction of
the deployed network will do. Divergences cannot be negative; an increase of the loss can, where quantization happens
to help. Without labels the class that the float network finds likeliest stands in.

Samples are gone through in portions that fit into memory; within a portion the walk is layer by layer, so that the
result of each layer can be remembered and an interrupted measurement goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from hawqlang.base import Frozen, Precision
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.sensitivity.output_error import Costs
from hawqlang.stages.sensitivity.trial import Trials, along, per_channel
from hawqlang.stages.sensitivity.walk import Place, follow, walk, widest

Labels = npt.NDArray[np.int64]

PORTION_BYTES = 256 * 2**20
"""Bound of the values that are alive at once, of the samples gone through side by side."""


class LayerLosses(Frozen):
    """What the candidates of one layer add to the loss, summed over the samples of a portion."""

    sums: tuple[tuple[Precision, float], ...]


Remember = Callable[[str, int, Callable[[], LayerLosses]], LayerLosses]
"""Gets a layer, a portion and how it is measured: returns what is known of it, else measures it."""


def forget(_layer: str, _portion: int, measure: Callable[[], LayerLosses]) -> LayerLosses:
    """Return what is measured; keep nothing."""
    return measure()


@dataclass(frozen=True, slots=True)
class Loss:
    """What is measured."""

    kind: Literal["kl", "measured"]
    labels: Labels | None = None
    """One per sample."""


def losses_alone(
    trials: Trials, samples: Stream, loss: Loss, remember: Remember, feedback: Feedback
) -> Costs:
    """Return what each candidate adds to the loss with all other layers in float, per sample."""
    graph = trials.model.graph
    room = max(1, PORTION_BYTES // widest(graph))
    size = min(chunk_size(graph), room)
    portions = -(-samples.count // room)
    total: dict[tuple[str, Precision], float] = {}
    done = count = 0
    with torch.inference_mode():
        for index, portion in enumerate(samples.batches(room)):
            batches = [portion[a : a + size] for a in range(0, len(portion), size)]
            labels = None if loss.labels is None else loss.labels[count : count + len(portion)]
            count += len(portion)
            judge = _judge(trials, batches, loss.kind, labels)

            def visit(place: Place, index: int = index, judge: _Judge = judge) -> None:
                nonlocal done
                if place.node.name not in trials.names:
                    return
                measured = remember(place.node.name, index, lambda: _measure(trials, place, judge))
                for precision, added in measured.sums:
                    key = (place.node.name, precision)
                    total[key] = total.get(key, 0.0) + added
                done += 1
                feedback.progress(done, portions * len(trials.nodes))

            walk(trials.model, batches, visit)
    return {key: added / max(count, 1) for key, added in total.items()}


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the float network made of a portion, by batch: weights of the classes, and its own loss."""

    targets: list[torch.Tensor]
    """``(N, C)``, each row adding up to 1: probabilities, or 1 at the label."""
    float_losses: list[float]
    """``-sum target log p``, summed over samples."""


def _judge(trials: Trials, batches: list[torch.Tensor], kind: str, labels: Labels | None) -> _Judge:
    targets: list[torch.Tensor] = []
    losses: list[float] = []
    start = 0
    for batch in batches:
        log_p = trials.model.forward(batch).double().log_softmax(1)
        target = log_p.exp()
        if kind == "measured":
            known = None if labels is None else labels[start : start + len(batch)]
            classes = log_p.argmax(1) if known is None else torch.from_numpy(known)
            target = torch.nn.functional.one_hot(classes, log_p.shape[1]).double()
        targets.append(target)
        losses.append(_loss(target, log_p))
        start += len(batch)
    return _Judge(targets, losses)


def _loss(target: torch.Tensor, log_p: torch.Tensor) -> float:
    """Return the cross entropy, summed over samples; a class of weight 0 costs nothing."""
    return -float(torch.where(target > 0, target * log_p, 0.0).sum())


def _measure(trials: Trials, place: Place, judge: _Judge) -> LayerLosses:
    """Return what each candidate of a layer adds to the loss of a portion."""
    node, x = place.node, place.node.x
    own = [trials.float_output(node, alive[x]) for alive in place.chunks]
    sums: list[tuple[Precision, float]] = []
    for precision in trials.candidates(node):
        outputs = [trials.output(node, precision, alive[x]) for alive in place.chunks]
        if trials.corrected(node):
            pairs = list(zip(outputs, own, strict=True))
            error = sum((per_channel(q - y) for q, y in pairs), torch.zeros(()))
            mean = error / sum(y[:, 0].numel() for y in own)
            outputs = [q.sub_(along(mean, q)) for q in outputs]
        added = 0.0
        for alive, y, target, before in zip(
            place.chunks, outputs, judge.targets, judge.float_losses, strict=True
        ):
            log_q = follow(trials.model, place, alive, y).double().log_softmax(1)
            added += _loss(target, log_q) - before
        sums.append((precision, added))
    return LayerLosses(sums=tuple(sums))
