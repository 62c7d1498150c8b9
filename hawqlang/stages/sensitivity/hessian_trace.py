"""Mean diagonal of the loss Hessian in each layer's weights and input, by Hutchinson's estimator in logit space.

The loss is the mean cross entropy of the samples. Every operator of the graph is piecewise linear, so the logits
``y`` are, in one layer's weights alone or in one layer's input alone, piecewise linear too. What remains of that
layer's block of the Hessian is exactly (sample by sample, ``J`` the Jacobian of the logits)

    H = J' (diag(p) - p p') J = (B' J)' (B' J),    B = diag(sqrt p) - p (sqrt p)',    p = softmax(y)

and its trace, by Hutchinson with signs ``z``, one per class,

    Tr(H) = E ||J' B z||^2                          B z = sqrt(p) z - p <sqrt(p), z>

So a probe is one ordinary backward pass that serves the weights and inputs of all layers at once, where a product
with the Hessian itself would take a backward pass through a backward pass, mix the layers' blocks and have a larger
variance. No estimate can be negative, and labels do not enter. Two refinements: the norm is taken sample by sample, so
that samples do not disturb each other; and the likeliest classes of each sample, which carry nearly all of the trace,
have a probe of their own, ``z = e_c``, so that chance is left with the rest. With no more classes than probes the
trace is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Conv2d, Graph, Linear
from hawqlang.stages.batches import Stream
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import Float64
from hawqlang.stages.sensitivity.tape import Tape, half_curvature, record
from hawqlang.stages.structure import LayerNode, layer_nodes

GRAPH_BYTES = 192 * 2**20
"""Bound of the activations, and of their copies under each tap, of the samples differentiated together."""

LARGEST_CHUNK = 64

BLOCK = 8
"""Probes between two looks at the tolerance."""

CERTAIN_SHARE = 4
"""One probe of so many goes to the likeliest classes where there are more classes than probes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over probes with its standard error; infinite after one random probe."""

    mean: float
    stderr: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """The layers whose traces are wanted."""

    weights: tuple[str, ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """How far the estimate goes."""

    probes: int
    """At most."""
    tolerance: float
    """It stops early once no standard error exceeds this share of its estimate."""
    seed: int
    """Determines every probe."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Mean Hessian diagonals (trace / number of elements) by layer."""

    weights: Mapping[str, Estimate]
    inputs: Mapping[str, Estimate]
    """Per element of one sample's input."""
    probes: int
    """How many were used."""
    converged: bool
    """Whether every standard error is within the tolerance."""
    worst: str
    """The layer whose relative standard error is the largest."""


def hessian_traces(
    model: FloatModel, samples: Stream, wanted: Wanted, budget: Budget, feedback: Feedback
) -> Traces:
    """Return the mean Hessian diagonals of the wanted layers.

    Args:
        model: The float network.
        samples: As the network sees them; gone through once per block of probes.
        wanted: Layers to look at.
        budget: Probes, tolerance and seed.
        feedback: Gets probes done.

    Raises:
        HawqError: A trace is not finite (HQ420).
    """
    names = [*wanted.weights, *wanted.inputs]
    sizes = _sizes(model.graph, wanted)
    classes = math.prod(model.graph.shape(model.graph.output))
    certain = classes if classes <= budget.probes else budget.probes // CERTAIN_SHARE
    likely = (
        _squares(model, samples, wanted, [_Certain(k) for k in range(certain)]).sum(axis=0) / sizes
    )
    rows = np.zeros((0, len(names)))
    used = certain
    feedback.progress(used, budget.probes)
    while used < budget.probes and certain < classes:
        block = [
            _Random((budget.seed, probe), certain)
            for probe in range(used, min(used + BLOCK, budget.probes))
        ]
        rows = np.concatenate([rows, _squares(model, samples, wanted, block) / sizes])
        used += len(block)
        feedback.progress(used, budget.probes)
        if _excess(likely, rows, budget.tolerance).max(initial=0.0) <= 1:
            break
    mean, stderr = _moments(likely, rows)
    for name, value in zip(names, mean, strict=True):
        if not np.isfinite(value):
            raise HawqError(_not_finite(name))
    excess = _excess(likely, rows, budget.tolerance)
    estimates = [Estimate(float(m), float(e)) for m, e in zip(mean, stderr, strict=True)]
    split = len(wanted.weights)
    return Traces(
        weights=dict(zip(wanted.weights, estimates[:split], strict=True)),
        inputs=dict(zip(wanted.inputs, estimates[split:], strict=True)),
        probes=used,
        converged=bool(excess.max(initial=0.0) <= 1),
        worst=names[int(excess.argmax())] if names else "",
    )


# ---- probes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Certain:
    """``z = e_c`` with ``c`` each sample's class of this rank."""

    rank: int

    def signs(self, ranks: torch.Tensor, _start: int) -> torch.Tensor:
        """Return ``z`` ``(N, C)``, given each class's rank in each sample."""
        return (ranks == self.rank).to(torch.float32)


@dataclass(frozen=True, slots=True)
class _Random:
    """Random signs for the classes that have no probe of their own."""

    seed: tuple[int, int]
    certain: int

    def signs(self, ranks: torch.Tensor, start: int) -> torch.Tensor:
        """Return ``z`` ``(N, C)`` for samples from ``start`` on."""
        rows = [
            np.random.default_rng((*self.seed, start + i)).integers(0, 2, ranks.shape[1])
            for i in range(len(ranks))
        ]
        signs = torch.from_numpy(np.stack(rows) * 2.0 - 1.0).to(torch.float32)
        return torch.where(ranks >= self.certain, signs, 0.0)


def _squares(
    model: FloatModel, samples: Stream, wanted: Wanted, probes: Sequence[_Certain | _Random]
) -> Float64:
    """Return ``||J' B z||^2``, averaged over samples, by probe and wanted weight, then input."""
    total = np.zeros((len(probes), len(wanted.weights) + len(wanted.inputs)))
    start = 0
    for chunk in samples.batches(_chunk_size(model.graph)) if probes else ():
        tape = record(model, chunk)
        p = tape.logits.detach().softmax(1)
        ranks = p.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        for index, probe in enumerate(probes):
            v = half_curvature(p, probe.signs(ranks, start))
            total[index] += _norms(model, tape, wanted, v)
        start += len(chunk)
    return total / max(start, 1)


def _norms(model: FloatModel, tape: Tape, wanted: Wanted, v: torch.Tensor) -> list[float]:
    """Return the squared norm of ``J' v``, summed over samples, per wanted weight, then input."""
    nodes = {node.name: node for node in layer_nodes(model.graph)}
    leaves = [tape.results[n] for n in wanted.weights] + [tape.reads[n] for n in wanted.inputs]
    slopes = torch.autograd.grad(tape.logits, leaves, v, retain_graph=True, materialize_grads=True)
    split = len(wanted.weights)
    squares: list[float] = []
    for name, slope in zip(wanted.weights, slopes[:split], strict=True):
        if name not in tape.taps:
            weight = model.parameters[nodes[name].weight]
            tape.taps[name] = _taps(nodes[name], tape.reads[name].detach(), weight)
        squares.append(_weight_square(slope, tape.taps[name]))
    return squares + [_total_square(slope) for slope in slopes[split:]]


def _taps(node: LayerNode, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return what each element of the weight is multiplied with, ``(N, groups, elements, positions)``."""
    if isinstance(node, Linear):
        return x[:, None, :, None]
    top, left, bottom, right = node.padding
    padded = F.pad(x, (left, right, top, bottom)) if any(node.padding) else x
    kernel = (weight.shape[2], weight.shape[3])
    taps = F.unfold(padded, kernel, node.dilation, 0, node.stride)
    return taps.reshape(len(x), node.groups, -1, taps.shape[2])


def _weight_square(slope: torch.Tensor, taps: torch.Tensor) -> float:
    """Return the squared norm of the gradient in the weight, sample by sample, summed."""
    slopes = slope.reshape(len(slope), taps.shape[1], -1, taps.shape[3])
    if taps.shape[3] == 1:
        pairs = slopes.square().sum((2, 3)) * taps.square().sum((2, 3))
        return float(pairs.sum(dtype=torch.float64))
    return _total_square(slopes @ taps.transpose(2, 3))


def _total_square(x: torch.Tensor) -> float:
    return float(x.square().sum(dtype=torch.float64))


# ---- figures -------------------------------------------------------------------------------------


def _moments(likely: Float64, rows: Float64) -> tuple[Float64, Float64]:
    """Return mean and standard error: what is certain, and the random rows' mean on top of it."""
    if not len(rows):
        return likely, np.zeros(likely.shape)
    mean: Float64 = rows.mean(axis=0)
    stderr: Float64 = np.full(mean.shape, np.inf)
    if len(rows) > 1:
        stderr = rows.std(axis=0, ddof=1) / math.sqrt(len(rows))
    return likely + mean, stderr


def _excess(likely: Float64, rows: Float64, tolerance: float) -> Float64:
    """Return each column's standard error over what the tolerance allows; at most 1 is met."""
    mean, stderr = _moments(likely, rows)
    allowed = tolerance * np.abs(mean)
    return np.where(stderr == 0, 0.0, stderr / np.where(allowed > 0, allowed, 1e-300))


def _sizes(graph: Graph, wanted: Wanted) -> Float64:
    """Return the elements of each wanted weight, then of each wanted input."""
    shapes = {p.name: p.shape for p in graph.parameters}
    values = {v.name: v.shape for v in graph.values}
    nodes = {node.name: node for node in layer_nodes(graph)}
    weights = [math.prod(shapes[nodes[name].weight]) for name in wanted.weights]
    inputs = [math.prod(values[nodes[name].x]) for name in wanted.inputs]
    return np.array([*weights, *inputs], np.float64)


def _chunk_size(graph: Graph) -> int:
    """Return how many samples are differentiated together."""
    shapes = {p.name: p.shape for p in graph.parameters}
    values = {v.name: v.shape for v in graph.values}
    taps = sum(
        node.groups * math.prod(shapes[node.weight][1:]) * math.prod(values[node.output][1:])
        for node in layer_nodes(graph)
        if isinstance(node, Conv2d)
    )
    kept = 4 * (taps + sum(math.prod(shape) for shape in values.values()))
    return max(1, min(LARGEST_CHUNK, GRAPH_BYTES // kept))


def _not_finite(layer: str) -> Diagnostic:
    return Diagnostic(
        code="HQ420",
        severity="error",
        message=f"the Hessian trace of '{layer}' is not finite",
        help="check the weights and the input's mean, std and scale",
    )
