"""Every metric of the language over an allocation, exact.

An allocation is one precision per layer, in execution order. Metrics are ``Fraction`` in base
units: bytes, seconds (for the target's batch), MACs and BOPS (of one sample), plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Literal, assert_never

from hawqlang.base import Precision, Span
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import Layer, LayerTable, LiveTensor
from hawqlang.ir.spec import Build, Metric, MetricTerm, Selector
from hawqlang.stages.candidates.costs import bops, latency, size_bits
from hawqlang.stages.candidates.selectors import groups, select

Allocation = Sequence[Precision]
"""One precision per layer, in execution order."""

Width = Precision | Literal["fp32"]

FLOAT = Precision(wbits=32, abits=32)
"""What ``fp32`` weighs."""

ADDITIVE: frozenset[Metric] = frozenset(
    ("size", "bops", "macs", "latency", "perturbation", "average_wbits", "average_abits")
)
"""Metrics that are sums over layers."""

AVERAGES: frozenset[Metric] = frozenset(("average_wbits", "average_abits"))
"""Metrics in which each layer has a share."""

AT_BUILD: frozenset[Metric] = frozenset(("accuracy", "accuracy_drop"))
"""Metrics that only running the integer program can tell."""


@dataclass(frozen=True, slots=True)
class _Given:
    """Numbers of one layer by precision, as measured or read from a table."""

    perturbations: dict[Precision, Fraction]
    latencies: dict[Precision, Fraction]


@dataclass(frozen=True, slots=True)
class Facts:
    """What metrics and constraints are read against."""

    build: Build
    table: LayerTable
    candidates: CandidateTable
    index: dict[str, int]
    """Position of each layer in execution order."""
    baselines: dict[tuple[MetricTerm, Width], Fraction] = field(
        default_factory=dict[tuple[MetricTerm, Width], Fraction]
    )
    """Baselines computed so far: they do not depend on the allocation."""
    _given: dict[int, _Given] = field(default_factory=dict[int, "_Given"])

    def given(self, position: int) -> _Given:
        """Return what is known of one layer by precision."""
        if position not in self._given:
            own = self.candidates.layers[position]
            self._given[position] = _Given(dict(own.perturbations), dict(own.latencies))
        return self._given[position]

    def chosen(self, selector: Selector | None) -> tuple[int, ...]:
        """Return the positions of the layers selected, all without a selector."""
        if selector is None:
            return tuple(range(len(self.table.layers)))
        return tuple(self.index[name] for name in select(selector, self.table))

    def tied(self, selector: Selector) -> tuple[tuple[int, ...], ...]:
        """Return the groups of positions that the selector forms."""
        formed = groups(selector, self.table)
        return tuple(tuple(self.index[name] for name in group) for group in formed)


def facts(build: Build, table: LayerTable, candidates: CandidateTable) -> Facts:
    """Return the build, its layers and their candidates as one value."""
    index = {layer.name: position for position, layer in enumerate(table.layers)}
    return Facts(build, table, candidates, index)


def value(known: Facts, term: MetricTerm, allocation: Allocation) -> Fraction:
    """Return the metric over an allocation; a baseline (``latency(w8a8)``) does not depend on it.

    Raises:
        HawqError: the layers do not say what the metric needs (HQ506, HQ507).
    """
    if term.at is not None:
        return baseline(known, term, term.at)
    if term.metric == "switches":
        return Fraction(sum(left != right for left, right in pairwise(allocation)))
    if term.metric == "peak_memory":
        return max(
            (live_bytes(known, step, allocation) for step in live(known)), default=Fraction()
        )
    return _summed(known, term, allocation)


def baseline(known: Facts, term: MetricTerm, at: Width) -> Fraction:
    """Return the metric with every layer at ``at``, also those whose candidates exclude it."""
    if term.metric == "switches":
        return Fraction()
    if term.metric == "peak_memory":
        every = [FLOAT if at == "fp32" else at] * len(known.table.layers)
        return max((live_bytes(known, step, every) for step in live(known)), default=Fraction())
    if (term, at) not in known.baselines:
        known.baselines[term, at] = _summed(known, term, (at,) * len(known.table.layers))
    return known.baselines[term, at]


def _summed(known: Facts, term: MetricTerm, widths: Sequence[Width]) -> Fraction:
    chosen = known.chosen(term.selector)
    parts = [unit(known, term.metric, i, widths[i]) for i in chosen]
    if term.metric in AVERAGES:
        share = shares(known, term.metric, chosen)
        parts = [share[i] * part for i, part in zip(chosen, parts, strict=True)]
    common = math.lcm(*(part.denominator for part in parts))
    return Fraction(sum(part.numerator * (common // part.denominator) for part in parts), common)


def shares(known: Facts, metric: Metric, chosen: Sequence[int]) -> dict[int, Fraction]:
    """Return the weight of each layer in an additive metric: 1, or its part of the average."""
    if metric not in AVERAGES:
        return dict.fromkeys(chosen, Fraction(1))
    mass = {i: _mass(known, metric, known.table.layers[i]) for i in chosen}
    total = sum(mass.values())
    if total == 0:
        return dict.fromkeys(chosen, Fraction(1, len(chosen)))
    return {i: Fraction(mass[i], total) for i in chosen}


def unit(  # noqa: PLR0911 - one return a metric
    known: Facts, metric: Metric, position: int, at: Width
) -> Fraction:
    """Return what one layer adds to an additive metric at a precision, before its share."""
    layer = known.table.layers[position]
    width = FLOAT if at == "fp32" else at
    match metric:
        case "size":
            return Fraction(size_bits(layer, width), 8)
        case "bops":
            return Fraction(bops(layer, width))
        case "macs":
            return Fraction(layer.macs)
        case "average_wbits":
            return Fraction(width.wbits)
        case "average_abits":
            return Fraction(width.abits)
        case "latency":
            return _latency(known, position, at)
        case "perturbation":
            return _perturbation(known, position, at)
        case "switches" | "peak_memory" | "accuracy" | "accuracy_drop":
            raise ValueError(metric)
        case _:
            assert_never(metric)


ACTIVATION_BITS = 8
"""Width of a stored activation of which nothing else is said."""


def live(known: Facts) -> tuple[tuple[LiveTensor, ...], ...]:
    """Return the activations alive at each step of execution.

    Raises:
        HawqError: a layer table cannot say (HQ507).
    """
    if not known.table.live and known.table.layers:
        raise HawqError(
            _unknown(known, "peak_memory", "the layers come from a table without shapes")
        )
    return known.table.live


def live_bytes(known: Facts, step: Sequence[LiveTensor], allocation: Allocation) -> Fraction:
    """Return the bytes of activations alive at one step; copies of a tensor at one width count once."""
    copies: dict[tuple[str, int], int] = {}
    for tensor in step:
        width = (
            tensor.bits or ACTIVATION_BITS
            if tensor.reader is None
            else allocation[known.index[tensor.reader]].abits
        )
        copies[tensor.tensor, width] = tensor.elements * (tensor.stored_bits or width)
    return Fraction(sum(copies.values()), 8)


def _mass(known: Facts, metric: Metric, layer: Layer) -> int:
    if metric == "average_wbits":
        return layer.params
    if layer.input_elements is None:
        why = f"the table does not say how large the input of layer '{layer.name}' is"
        raise HawqError(_unknown(known, metric, why))
    return layer.input_elements


def _latency(known: Facts, position: int, at: Width) -> Fraction:
    layer = known.table.layers[position]
    given = known.given(position).latencies
    seconds = None if at == "fp32" else latency(layer, at, known.build.target, given)
    if seconds is None:
        why = f"neither the device nor a table says how fast layer '{layer.name}' is at {at}"
        raise HawqError(_unknown(known, "latency", why))
    return seconds


def _perturbation(known: Facts, position: int, at: Width) -> Fraction:
    own = known.candidates.layers[position]
    given = known.given(position).perturbations
    if at == "fp32" or (not given and len(own.candidates) == 1 and known.candidates.measured):
        return Fraction()
    if at not in given:
        raise HawqError(
            Diagnostic(
                code="HQ506",
                severity="error",
                message=f"layer '{own.layer}' has no sensitivity for {at}",
                span=_span(known, "perturbation"),
                label="needs one for every layer",
                help=f"give one for {at}, or compare with a precision that every layer offers",
            )
        )
    return given[at]


def _unknown(known: Facts, metric: Metric, why: str) -> Diagnostic:
    return Diagnostic(
        code="HQ507",
        severity="error",
        message=f"`{metric}` is not known: {why}",
        span=_span(known, metric),
        label=f"needs `{metric}`",
        help="leave it out, or build from a network (`onnx`, `pt2`, `zoo`) on a device with rates",
    )


def _span(known: Facts, metric: Metric) -> Span:
    """Return where the spec speaks of the metric first."""
    spans = [c.span for c in known.build.constraints if metric in c.text]
    goals = [g.span for g in known.build.objective if g.metric.metric == metric and g.span]
    return next(iter(spans + goals), known.build.span)
