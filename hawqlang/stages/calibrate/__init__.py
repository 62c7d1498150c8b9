"""Step ``calibrate``: Graph and samples to the range of every tensor that gets stored, per width.

Samples stream through the float network once and are forgotten; memory does not depend on how many
there are. The input's range is that of its pixels, known exactly, and is not calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Clamp, Graph
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.ir.spec import ActivationSettings, Ema, MinMax
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.calibrate.methods import choose_range
from hawqlang.stages.calibrate.observed import Interval, Observed
from hawqlang.stages.calibrate.requests import (
    RangeRequest,
    describe,
    input_interval,
    range_requests,
)
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.structure import nonnegative, producers

__all__ = ["RangeRequest", "calibrate", "describe", "input_interval", "range_requests"]


def calibrate(
    model: FloatModel,
    samples: Stream,
    requests: Sequence[RangeRequest],
    *,
    interval: Interval,
    default: ActivationSettings,
    feedback: Feedback,
) -> RangeTable:
    """Return the range of every requested tensor and width.

    Args:
        model: The float network with its weights.
        samples: As the network sees them; read once.
        requests: What to calibrate (:func:`range_requests`).
        interval: Smallest and largest value at the network's input (:func:`input_interval`).
        default: The build's settings for activations.
        feedback: Gets samples done, and warnings of tensors that never vary (HQ411, HQ412).

    Raises:
        HawqError: A tensor holds NaN or infinity (HQ410), or there are no samples (HQ414).
    """
    graph = model.graph
    observed = _observers(graph, requests)

    def see(name: str, x: torch.Tensor) -> torch.Tensor:
        if name in observed:
            observed[name].add(x)
            if not observed[name].finite:
                raise HawqError(_not_finite(graph, name))
        return x

    done = 0
    with torch.inference_mode():
        for chunk in samples.batches(chunk_size(graph)):
            model.run(chunk, intercept=see)
            done += len(chunk)
            feedback.progress(done, samples.count)
    if done == 0:
        raise HawqError(
            Diagnostic(code="HQ414", severity="error", message="there are no calibration samples")
        )
    for name, seen in observed.items():
        _report_constant(graph, name, seen, feedback)
    positive = nonnegative(graph, input_nonnegative=interval[0] >= 0)
    return RangeTable(
        ranges=tuple(
            _row(
                request,
                observed.get(request.form.root),
                interval,
                nonnegative=request.form.root in positive,
            ).replace(scheme=None if request.scheme == default.scheme else request.scheme)
            for request in requests
        ),
        method=describe(default.range),
        samples=done,
        scheme=default.scheme,
    )


def _observers(graph: Graph, requests: Sequence[RangeRequest]) -> dict[str, Observed]:
    """Return an empty record for every tensor to watch, keeping only what its methods need."""
    methods: dict[str, list[object]] = {}
    for request in requests:
        if request.form.root != graph.input.name:
            methods.setdefault(request.form.root, []).append(request.method)
    return {
        root: Observed(
            counted=any(not isinstance(m, MinMax | Ema) for m in wanted),
            momenta=tuple(sorted({float(m.momentum) for m in wanted if isinstance(m, Ema)})),
        )
        for root, wanted in methods.items()
    }


def _row(
    request: RangeRequest, observed: Observed | None, interval: Interval, *, nonnegative: bool
) -> TensorRange:
    """Return the table's row for one request; ``observed`` is ``None`` for the input."""
    low, high = min(interval[0], 0.0), max(interval[1], 0.0)
    if observed is not None:
        low, high = choose_range(
            observed,
            request.method,
            request.form.bits,
            nonnegative=nonnegative,
            scheme=request.scheme,
        )
    return TensorRange(tensor=request.form.root, bits=request.form.bits, low=low, high=high)


def spoken_name(graph: Graph, value: str) -> str:
    """Return how a reader knows a value: the node that computes it, a clamp by what it clamps."""
    nodes = producers(graph)
    while isinstance(node := nodes.get(value), Clamp) and node.x in nodes:
        value = node.x
    return "the input" if node is None else f"'{node.name}'"


def _not_finite(graph: Graph, value: str) -> Diagnostic:
    return Diagnostic(
        code="HQ410",
        severity="error",
        message=f"the result of {spoken_name(graph, value)} is not finite on a calibration sample",
        help="check the weights, and the input's mean, std and scale",
    )


def _report_constant(graph: Graph, value: str, seen: Observed, feedback: Feedback) -> None:
    """Warn of a tensor that never varies: a dead layer, or samples that do not fit the network."""
    if seen.only is None or np.isnan(seen.only):
        return
    code, what = ("HQ411", "0") if seen.only == 0 else ("HQ412", f"{seen.only:g}")
    feedback.report(
        Diagnostic(
            code=code,
            severity="warning",
            message=f"the result of {spoken_name(graph, value)} is {what} throughout all "
            "calibration samples",
            help="check that the weights belong to the network and that the samples are real",
        )
    )
