"""How an allocation stands: every metric, and every constraint with its value, bound and slack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

from hawqlang.base import Precision
from hawqlang.diagnostics.model import HawqError
from hawqlang.ir.plan import ConstraintResult, LayerChoice
from hawqlang.ir.spec import (
    And,
    Compare,
    Constraint,
    CountTerm,
    Linear,
    Metric,
    MetricTerm,
    Predicate,
)
from hawqlang.stages.candidates.metrics import Allocation, Facts, unit, value
from hawqlang.stages.candidates.predicates import at_build, holds, linear

Unit = Literal["B", "s", "MACs", "BOPS", "", "%"]

UNITS: dict[str, Unit] = {"number": "", "size": "B", "time": "s", "macs": "MACs", "bops": "BOPS"}

SHOWN: tuple[tuple[str, Metric, int], ...] = (
    ("size_bytes", "size", 1),
    ("bops", "bops", 1),
    ("macs", "macs", 1),
    ("latency_us", "latency", 1_000_000),
    ("perturbation", "perturbation", 1),
    ("switches", "switches", 1),
    ("average_wbits", "average_wbits", 1),
    ("average_abits", "average_abits", 1),
    ("peak_memory_bytes", "peak_memory", 1),
)
"""The metrics of a plan: key, metric, factor from base units."""


SHARED: tuple[Metric, ...] = ("size", "bops", "latency")
"""The resources of which a layer's share is told."""


def metrics(known: Facts, allocation: Allocation) -> tuple[tuple[str, float], ...]:
    """Return every metric that is known of the network, in the units of the plan."""
    found: list[tuple[str, float]] = []
    for key, name, factor in SHOWN:
        try:
            found.append((key, float(value(known, MetricTerm(metric=name), allocation) * factor)))
        except HawqError:  # the table does not say enough: nothing asked for it, so leave it out
            continue
    return tuple(found)


def results(known: Facts, allocation: Allocation) -> tuple[ConstraintResult, ...]:
    """Return how each constraint stands, in the order written."""
    return tuple(_result(known, one, allocation) for one in known.build.constraints)


def choices(known: Facts, allocation: Allocation) -> tuple[LayerChoice, ...]:
    """Return the row of every layer."""
    totals: dict[Metric, Fraction] = {name: _total(known, name, allocation) for name in SHARED}
    return tuple(
        _choice(known, position, precision, totals) for position, precision in enumerate(allocation)
    )


def is_constant(form: Linear) -> bool:
    """Return whether an expression is the same for every allocation."""
    return all(
        term.of.where is None if isinstance(term.of, CountTerm) else term.of.at is not None
        for term in form.terms
    )


def compares(predicate: Predicate) -> tuple[Compare, ...]:
    """Return the comparisons that must all hold; none where the predicate says anything else."""
    match predicate:
        case Compare():
            return (predicate,)
        case And():
            inner = [compares(item) for item in predicate.items]
            return tuple(one for part in inner for one in part) if all(inner) else ()
        case _:
            return ()


def _total(known: Facts, name: Metric, allocation: Allocation) -> Fraction:
    """Return a metric, 0 where it is not known."""
    try:
        return value(known, MetricTerm(metric=name), allocation)
    except HawqError:
        return Fraction(0)


def _choice(
    known: Facts, position: int, precision: Precision, totals: Mapping[Metric, Fraction]
) -> LayerChoice:
    layer, own = known.table.layers[position], known.candidates.layers[position]
    latencies = ((c.precision, c.latency) for c in own.candidates)
    return LayerChoice(
        name=layer.name,
        kind=layer.kind,
        precision=precision,
        candidates=own.precisions(),
        params=layer.params,
        macs=layer.macs,
        sensitivity=tuple(
            (c.precision, float(c.perturbation))
            for c in own.candidates
            if c.perturbation is not None
        ),
        latency_us=tuple((p, _microseconds(s)) for p, s in latencies if s is not None),
        dropped=own.dropped,
        rule=own.rule,
        share=tuple(
            (name, float(unit(known, name, position, precision) / total))
            for name, total in totals.items()
            if total
        ),
    )


def _microseconds(seconds: Fraction) -> float:
    return seconds.numerator * 1_000_000 / seconds.denominator


def _result(known: Facts, constraint: Constraint, allocation: Allocation) -> ConstraintResult:
    later = at_build(constraint.predicate)
    numbers = [_numbers(known, one, allocation, later) for one in compares(constraint.predicate)]
    tightest = min(numbers, key=_tightness) if numbers else (None, None, None, "")
    value_, bound, slack, named = tightest
    return ConstraintResult(
        name=constraint.name,
        text=constraint.text,
        value=None if value_ is None else float(value_),
        bound=None if bound is None else float(bound),
        slack=None if slack is None else float(slack),
        holds=None if later else holds(known, constraint.predicate, allocation),
        unit=named,
    )


Numbers = tuple[Fraction | None, Fraction | None, Fraction | None, Unit]


def _numbers(
    known: Facts, compare: Compare, allocation: Sequence[Precision], later: bool
) -> Numbers:
    left, right, op = compare.left, compare.right, compare.op
    if is_constant(left) and not is_constant(right):
        left, right = right, left
        op = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
    if later:
        return None, right.constant if is_constant(right) else None, None, "%"
    here, bound = linear(known, left, allocation), linear(known, right, allocation)
    named = UNITS[left.dimension]
    match op:
        case "<" | "<=":
            return here, bound, bound - here, named
        case ">" | ">=":
            return here, bound, here - bound, named
        case "==":
            return here, bound, -abs(bound - here), named
        case _:
            return here, bound, abs(bound - here), named


def _tightness(numbers: Numbers) -> Fraction:
    _, bound, slack, _ = numbers
    if slack is None or bound is None:
        return Fraction(0)
    return slack / abs(bound) if bound else slack
