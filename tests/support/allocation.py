"""Builds, layer tables and constraints by hand, and the best allocation by trying them all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from hawqlang.base import Precision, Span
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import Layer, LayerKind, LayerTable
from hawqlang.ir.spec import (
    Build,
    Comparator,
    Compare,
    Constraint,
    CountTerm,
    Device,
    Each,
    Glob,
    Goal,
    Implies,
    Keyword,
    LayersSource,
    Linear,
    Metric,
    MetricTerm,
    Model,
    Predicate,
    Property,
    PropertyCompare,
    PropertyOf,
    PropertyValue,
    Same,
    Selector,
    Target,
    Term,
)
from hawqlang.stages.candidates.metrics import facts, value
from hawqlang.stages.candidates.predicates import at_build, holds

SPAN = Span(file="spec.hawq", line=1, column=1, end_line=1, end_column=2)


def span(line: int) -> Span:
    return Span(file="spec.hawq", line=line, column=5, end_line=line, end_column=20)


def w(text: str) -> Precision:
    """Return the precision written ``w4a8``."""
    wbits, _, abits = text[1:].partition("a")
    return Precision(wbits=int(wbits), abits=int(abits))


W4, W48, W8 = w("w4a4"), w("w4a8"), w("w8a8")

DEVICE = Device(
    name="custom",
    family="custom",
    native=(W8, W4),
    rates=((W8, Fraction(65 * 10**12)), (W4, Fraction(130 * 10**12))),
    bandwidth=Fraction(320 * 10**9),
    cache=None,
    launch=Fraction(5, 10**6),
)


def target(device: Device = DEVICE, batch: int = 1) -> Target:
    return Target(
        name="server", device=device, batch=batch, threads=1, latency="modelled", span=SPAN
    )


def layer(name: str, params: int = 1000, macs: int = 10_000, **more: Any) -> Layer:
    kind: LayerKind = more.pop("kind", "conv")
    return Layer(name=name, kind=kind, params=params, macs=macs, **more)


def goal(metric: Metric = "perturbation", **more: Any) -> Goal:
    sense = more.pop("sense", "minimize")
    within = Fraction(more.pop("within", 0))
    return Goal(metric=MetricTerm(metric=metric, **more), sense=sense, within=within, span=SPAN)


def build(
    constraints: Sequence[Constraint] = (),
    objective: Sequence[Goal] = (),
    precision: Sequence[Precision] = (W4, W8),
    **more: Any,
) -> Build:
    model = Model(
        name="net",
        source=LayersSource(path="layers.json"),
        weights=None,
        input=None,
        span=SPAN,
        source_span=SPAN,
        input_span=None,
    )
    return Build(
        name="net_server",
        model=model,
        target=more.pop("target", target()),
        dataset=None,
        precision=tuple(precision),
        objective=tuple(objective) or (goal(),),
        constraints=tuple(constraints),
        emits=(),
        span=SPAN,
        **more,
    )


def named(name: str, predicate: Predicate, text: str = "", line: int = 10) -> Constraint:
    return Constraint(name=name, predicate=predicate, text=text or name, span=span(line))


def metric_form(metric: Metric, factor: Any = 1, **more: Any) -> Linear:
    dimension: Any = {"size": "size", "latency": "time", "bops": "bops", "macs": "macs"}.get(
        metric, "number"
    )
    if metric == "peak_memory":
        dimension = "size"
    term = Term(coefficient=Fraction(factor), of=MetricTerm(metric=metric, **more))
    return Linear(dimension=dimension, terms=(term,))


def constant(number: Any, like: Linear) -> Linear:
    return Linear(dimension=like.dimension, constant=Fraction(number))


def compare(left: Linear, op: Comparator, right: Linear | Any) -> Compare:
    side = right if isinstance(right, Linear) else constant(right, left)
    return Compare(op=op, left=left, right=side, span=SPAN)


def count_form(selector: Selector, where: Predicate | None) -> Linear:
    term = Term(coefficient=Fraction(1), of=CountTerm(selector=selector, where=where))
    return Linear(dimension="number", terms=(term,))


def word(text: Any) -> Keyword:
    return Keyword(word=text, span=SPAN)


def glob(pattern: str) -> Glob:
    return Glob(pattern=pattern, span=SPAN)


def prop(
    name: Property, selector: Selector | None, op: Comparator, right: int | Precision | PropertyOf
) -> PropertyCompare:
    side = right if isinstance(right, PropertyOf) else PropertyValue(value=right)
    return PropertyCompare(
        op=op, left=PropertyOf(property=name, selector=selector), right=side, span=SPAN
    )


def same(selector: Selector, name: Property = "precision") -> Same:
    return Same(property=name, selector=selector, span=SPAN)


def each(selector: Selector, predicate: Predicate) -> Each:
    return Each(selector=selector, predicate=predicate, span=SPAN)


def implies(left: Predicate, right: Predicate) -> Implies:
    return Implies(left=left, right=right, span=SPAN)


def with_sensitivity(one: Layer, values: Mapping[Precision, float]) -> Layer:
    return one.replace(sensitivity=tuple(values.items()))


# ---- brute force -----------------------------------------------------------------------------------------


def every_allocation(candidates: CandidateTable) -> Iterator[tuple[Precision, ...]]:
    return itertools.product(*(one.precisions() for one in candidates.layers))


def every_feasible(
    build: Build, table: LayerTable, candidates: CandidateTable
) -> Iterator[tuple[Precision, ...]]:
    """Yield every allocation that satisfies what need not wait for the build."""
    known = facts(build, table, candidates)
    now = [c.predicate for c in build.constraints if not at_build(c.predicate)]
    for one in every_allocation(candidates):
        if all(holds(known, predicate, one) for predicate in now):
            yield one


def best_by_trying(
    build: Build,
    table: LayerTable,
    candidates: CandidateTable,
    exclude: Sequence[Mapping[str, Precision]] = (),
    forbidden: Sequence[tuple[Precision, ...]] = (),
) -> tuple[Precision, ...] | None:
    """Return the answer the language defines, by looking at every allocation but the ``forbidden``."""
    known = facts(build, table, candidates)
    feasible = [
        one
        for one in every_feasible(build, table, candidates)
        if one not in forbidden and not any(below(table, one, tried) for tried in exclude)
    ]
    for position, aim in enumerate(build.objective):
        slip = aim.within if position + 1 < len(build.objective) else Fraction(0)
        sign = 1 if aim.sense == "minimize" else -1
        scores = {one: sign * value(known, aim.metric, one) for one in feasible}
        if not scores:
            return None
        best = min(scores.values())
        feasible = [one for one in feasible if scores[one] <= best + slip * abs(best)]
    if not feasible:
        return None
    return min(feasible, key=lambda one: _tie_key(known, build, one))


def _tie_key(known: Any, build: Build, one: tuple[Precision, ...]) -> Any:
    terms = [MetricTerm(metric="size")]
    if known.candidates.measured:
        terms.insert(0, MetricTerm(metric="perturbation"))
    numbers = [value(known, term, one) for term in terms]
    return (*numbers, [(-p.wbits, -p.abits) for p in one])


def below(table: LayerTable, one: tuple[Precision, ...], tried: Mapping[str, Precision]) -> bool:
    return all(
        p.wbits <= tried[own.name].wbits and p.abits <= tried[own.name].abits
        for own, p in zip(table.layers, one, strict=True)
    )
