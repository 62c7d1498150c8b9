"""The error of each layer's own output: as it is (``mse``), or weighted with what the loss makes of it (``fisher``).

With ``d`` the difference between the layer's output at a candidate (weights and input stored at the candidate's bits)
and in float, over samples, and with the mean of each channel taken out of ``d`` where biases are corrected,

    mse      sum d^2 / sum (y - mean y)^2          the noise of the output relative to its variance
    fisher   1/2 mean over samples of sum (g d)^2  the diagonal Fisher information of the output

``g = J' B z`` carries a random sign per class back from the logits, as :mod:`hessian_trace` does: ``E g g'`` is the
Fisher information of the layer's output, exactly, and other than the gradient of a drawn label it does not vanish on
samples that the network is certain about. One backward pass serves all layers and candidates of a batch. Labels do not
enter either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from hawqlang.base import Precision
from hawqlang.ir.graph import Graph
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.sensitivity.forward import run
from hawqlang.stages.sensitivity.tape import half_curvature, record
from hawqlang.stages.sensitivity.trial import Trials, per_channel
from hawqlang.stages.structure import LayerNode

Costs = Mapping[tuple[str, Precision], float]
"""What each candidate of each layer that has a choice is expected to cost."""

TAPE_BYTES = 256 * 2**20
"""Bound of the activations, and of their gradients, of the samples differentiated together."""


@dataclass(slots=True)
class _Moments:
    """Sums over samples and positions, by channel, of ``w d^2``, ``w d`` and ``w``."""

    square: torch.Tensor | float = 0.0
    linear: torch.Tensor | float = 0.0
    weight: torch.Tensor | float = 0.0

    def add(self, d: torch.Tensor, w: torch.Tensor | None) -> None:
        """Take a batch into account, every position counting 1 where no weights are given."""
        self.square += per_channel(d.square() if w is None else d.square() * w)
        self.linear += per_channel(d if w is None else d * w)
        self.weight += per_channel(torch.ones_like(d) if w is None else w)


@dataclass(slots=True)
class _Found:
    """What the samples have shown."""

    weighted: dict[tuple[str, Precision], _Moments] = field(
        default_factory=dict[tuple[str, Precision], _Moments]
    )
    plain: dict[tuple[str, Precision], _Moments] = field(
        default_factory=dict[tuple[str, Precision], _Moments]
    )
    outputs: dict[str, _Moments] = field(default_factory=dict[str, _Moments])
    samples: int = 0


def mean_squared_errors(trials: Trials, samples: Stream, feedback: Feedback) -> Costs:
    """Return the squared error of each candidate's output over the variance of the float output."""
    found = _Found()
    reads: dict[str, torch.Tensor] = {}

    def read(node: LayerNode, x: torch.Tensor) -> torch.Tensor:
        reads[node.name] = x
        return x

    def wrote(node: LayerNode, y: torch.Tensor) -> torch.Tensor:
        x = reads.pop(node.name)
        if node.name in trials.names:
            found.outputs.setdefault(node.name, _Moments()).add(y, None)
            _add_errors(found, trials, node, (x, y, None))
        return y

    with torch.inference_mode():
        for chunk in samples.batches(chunk_size(trials.model.graph)):
            run(trials.model, chunk, read=read, wrote=wrote)
            found.samples += len(chunk)
            feedback.progress(found.samples, samples.count)
    variance = {name: _centred(own, _mean(own)) for name, own in found.outputs.items()}
    return {
        key: _ratio(error, variance[key[0]])
        for key, error in _errors(found, trials, "plain").items()
    }


def fisher_errors(trials: Trials, samples: Stream, seed: int, feedback: Feedback) -> Costs:
    """Return half the mean squared output error weighted with the diagonal Fisher information."""
    found = _Found()
    for chunk in samples.batches(_tape_size(trials.model.graph)):
        tape = record(trials.model, chunk)
        p = tape.logits.detach().softmax(1)
        v = half_curvature(p, _signs(p, seed, found.samples))
        results = [tape.results[node.name] for node in trials.nodes]
        slopes = torch.autograd.grad(tape.logits, results, v, materialize_grads=True)
        with torch.no_grad():
            for node, y, slope in zip(trials.nodes, results, slopes, strict=True):
                x = tape.reads[node.name].detach()
                _add_errors(found, trials, node, (x, y.detach(), slope.square()))
        found.samples += len(chunk)
        feedback.progress(found.samples, samples.count)
    return {
        key: error / (2 * max(found.samples, 1))
        for key, error in _errors(found, trials, "weighted").items()
    }


def _add_errors(
    found: _Found,
    trials: Trials,
    node: LayerNode,
    seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
) -> None:
    """Take a batch's input, output and weights of one layer into account."""
    x, y, w = seen
    for precision in trials.candidates(node):
        d = trials.output(node, precision, x).sub_(y)
        found.plain.setdefault((node.name, precision), _Moments()).add(d, None)
        if w is not None:
            found.weighted.setdefault((node.name, precision), _Moments()).add(d, w)


def _errors(found: _Found, trials: Trials, kind: str) -> dict[tuple[str, Precision], float]:
    """Return each candidate's summed squared error, channel means taken out where biases are corrected."""
    errors: dict[tuple[str, Precision], float] = {}
    for node in trials.nodes:
        for precision in trials.candidates(node):
            plain = found.plain[node.name, precision]
            mean = _mean(plain) if trials.corrected(node) else 0.0
            own = plain if kind == "plain" else found.weighted[node.name, precision]
            errors[node.name, precision] = _centred(own, mean)
    return errors


def _mean(moments: _Moments) -> torch.Tensor | float:
    return moments.linear / moments.weight


def _centred(moments: _Moments, mean: torch.Tensor | float) -> float:
    """Return ``sum w (d - mean)^2``, at least 0."""
    total = moments.square - 2 * mean * moments.linear + mean * mean * moments.weight
    value = float(torch.as_tensor(total).sum())
    return value if math.isnan(value) else max(value, 0.0)


def _ratio(error: float, variance: float) -> float:
    """Return an error relative to a variance; a constant output can only be told apart by an error."""
    if variance > 0:
        return error / variance
    return 0.0 if error == 0 else error


def _signs(p: torch.Tensor, seed: int, start: int) -> torch.Tensor:
    """Return a random sign per sample and class; a sample's own do not depend on its batch."""
    rows = [
        np.random.default_rng((seed, start + i)).integers(0, 2, p.shape[1]) for i in range(len(p))
    ]
    return torch.from_numpy(np.stack(rows) * 2.0 - 1.0).to(p.dtype)


def _tape_size(graph: Graph) -> int:
    """Return how many samples are differentiated together."""
    kept = 8 * sum(math.prod(value.shape) for value in graph.values)
    return max(1, min(64, TAPE_BYTES // kept))
