"""Step ``calibrate``: Graph and samples to the range of every tensor that gets stored, per width.

Samples stream through the float network once and are forgotten; memory does not depend on how many
there are. The input's range is that of its pixels, known exactly, and is not calibrated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Clamp, Graph
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.ir.spec import ActivationSettings, Ema, MinMax
from hawqlang.stages.calibrate.methods import choose_range
from hawqlang.stages.calibrate.observed import Interval, Observed
from hawqlang.stages.calibrate.requests import (
    RangeRequest,
    Report,
    describe,
    input_interval,
    range_requests,
)
from hawqlang.stages.structure import nonnegative, producers
from hawqlang.stages.torch_ops import execute

__all__ = ["RangeRequest", "calibrate", "describe", "input_interval", "range_requests"]

Progress = Callable[[int, int], None]


def calibrate(
    graph: Graph,
    parameters: Mapping[str, torch.Tensor],
    batches: Iterable[torch.Tensor],
    requests: Sequence[RangeRequest],
    *,
    interval: Interval,
    default: ActivationSettings,
    count: int,
    progress: Progress,
    report: Report,
) -> RangeTable:
    """Return the range of every requested tensor and width.

    Args:
        graph: The float network.
        parameters: Its weights by name.
        batches: Samples ``(N, …)`` as the network sees them, any batch sizes; read once.
        requests: What to calibrate (:func:`range_requests`).
        interval: Smallest and largest value at the network's input (:func:`input_interval`).
        default: The build's settings for activations.
        count: How many samples ``batches`` holds, for ``progress``.
        progress: Called with samples done and ``count``.
        report: Takes warnings: tensors that are constant (HQ411, HQ412).

    Raises:
        HawqError: A tensor holds NaN or infinity (HQ410), or there are no samples (HQ414).
    """
    observed = _observers(graph, requests)

    def see(name: str, x: torch.Tensor) -> torch.Tensor:
        if name in observed:
            observed[name].add(x)
            if not observed[name].finite:
                raise HawqError(_not_finite(graph, name))
        return x

    done = 0
    with torch.inference_mode():
        for batch in batches:
            execute(graph, parameters, batch, see)
            done += batch.shape[0]
            progress(done, count)
    if done == 0:
        raise HawqError(
            Diagnostic(code="HQ414", severity="error", message="there are no calibration samples")
        )
    for name, seen in observed.items():
        _report_constant(graph, name, seen, report)
    positive = nonnegative(graph, input_nonnegative=interval[0] >= 0)
    return RangeTable(
        ranges=tuple(
            _row(graph, request, observed, positive, interval, default) for request in requests
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
    graph: Graph,
    request: RangeRequest,
    observed: Mapping[str, Observed],
    positive: frozenset[str],
    interval: Interval,
    default: ActivationSettings,
) -> TensorRange:
    """Return the table's row for one request."""
    root, bits = request.form.root, request.form.bits
    if root == graph.input.name:
        low, high = min(interval[0], 0.0), max(interval[1], 0.0)
    else:
        low, high = choose_range(
            observed[root],
            request.method,
            bits,
            nonnegative=root in positive,
            scheme=request.scheme,
        )
    scheme = None if request.scheme == default.scheme else request.scheme
    return TensorRange(tensor=root, bits=bits, low=low, high=high, scheme=scheme)


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


def _report_constant(graph: Graph, value: str, seen: Observed, report: Report) -> None:
    """Warn of a tensor that never varies: a dead layer, or samples that do not fit the network."""
    if seen.only is None or np.isnan(seen.only):
        return
    code, what = ("HQ411", "0") if seen.only == 0 else ("HQ412", f"{seen.only:g}")
    report(
        Diagnostic(
            code=code,
            severity="warning",
            message=f"the result of {spoken_name(graph, value)} is {what} throughout all "
            "calibration samples",
            help="check that the weights belong to the network and that the samples are real",
        )
    )
