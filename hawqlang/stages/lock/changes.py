"""Two standings of a build to what differs between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from hawqlang import units
from hawqlang.base import Precision
from hawqlang.ir.changes import Changes, FactChange, LayerChange, MetricChange, Standing
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.lock import Entry, LockedConstraint
from hawqlang.stages.lock.origin import COMPILER

ValueT = TypeVar("ValueT")
DYADIC = "dyadic numbers"
PROGRAM = "integer program"


def standing(entry: Entry) -> Standing:
    """Return the allocation of a lock's entry and all that can be compared."""
    return Standing(
        layers=tuple((layer.name, layer.precision, layer.params) for layer in entry.layers),
        metrics=(*entry.metrics, *accuracies(entry.evaluation)),
        facts=tuple(_facts(entry)),
    )


def accuracies(found: Evaluation | None) -> tuple[tuple[str, float], ...]:
    """Return what an evaluation knows, as metrics in the range 0 to 1."""
    if found is None:
        return ()
    rows = (
        ("accuracy", found.accuracy),
        ("fp32_accuracy", found.fp32_accuracy),
        ("agreement", found.agreement),
    )
    return tuple((name, value) for name, value in rows if value is not None)


def compare(build: str, before: Standing, after: Standing) -> Changes:
    """Return everything that differs; layers in the order of ``before``, then those only ``after`` has."""
    return Changes(
        build=build,
        layers=tuple(_layers(before, after)),
        metrics=tuple(
            MetricChange(name=name, before=one, after=other)
            for name, one, other in _joined(before.metrics, after.metrics)
        ),
        facts=tuple(_changed(before, after)),
    )


def _changed(before: Standing, after: Standing) -> Iterator[FactChange]:
    """Yield the facts that differ; what only a build knows is compared where both sides were built."""
    for name, one, other in _joined(before.facts, after.facts):
        one_sided = one is None or other is None
        unknown = name in (DYADIC, PROGRAM) or not (before.whole and after.whole)
        if one != other and not (one_sided and unknown):
            yield FactChange(name=name, before=one, after=other)


def of_layers(changes: Changes) -> Changes:
    """Return the changes of precision and of the metrics that both sides know."""
    both = tuple(m for m in changes.metrics if m.before is not None and m.after is not None)
    return changes.replace(metrics=both, facts=())


def binding(changes: Changes) -> Changes:
    """Return the changes that make another result: a library's version alone makes none."""
    libraries = tuple(
        fact
        for fact in changes.facts
        if not fact.name.startswith("version ") or fact.name == f"version {COMPILER}"
    )
    return changes.replace(facts=libraries)


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield all of an entry that is neither layer nor metric, by name."""
    origin = entry.origin
    yield from ((f"--set {name}", value) for name, value in origin.settings)
    yield from ((f"version {name}", value) for name, value in origin.versions)
    yield from origin.inputs
    yield "resolved spec", origin.resolved
    for layer in entry.layers:
        for precision, value in layer.sensitivity:
            yield f"sensitivity of {layer.name} at {precision}", repr(value)
        for precision, value in layer.latency_us or ():
            yield f"latency of {layer.name} at {precision}", repr(value)
    if entry.timed is not None:
        yield "latencies measured on", entry.timed.cpu
    for constraint in entry.constraints:
        yield f"constraint {constraint.name}", _stated(constraint)
    for number, row in enumerate(entry.refused, 1):
        yield f"refused allocation {number}", " ".join(map(str, row))
    if entry.dyadic is not None:
        yield DYADIC, entry.dyadic
    if entry.program is not None:
        yield PROGRAM, entry.program


def _stated(constraint: LockedConstraint) -> str:
    """Return a constraint's text with the bound that its params give."""
    if constraint.bound is None:
        return constraint.text
    return f"{constraint.text} ({units.quantity(constraint.bound, constraint.unit)})"


def _layers(before: Standing, after: Standing) -> Iterator[LayerChange]:
    whole = sum(_size(row) for row in before.layers) or 1.0
    old = {row[0]: row for row in before.layers}
    new = {row[0]: row for row in after.layers}
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        first = None if one is None else one[1]
        second = None if other is None else other[1]
        if first == second:
            continue
        added = _size(other) - _size(one)
        yield LayerChange(
            layer=name,
            before=first,
            after=second,
            size_bytes=added,
            size_share=added / whole,
        )


def _size(row: tuple[str, Precision, int] | None) -> float:
    """Return the bytes of a layer's weights."""
    return 0.0 if row is None else row[1].wbits * row[2] / 8


def _joined(
    before: Iterable[tuple[str, ValueT]], after: Iterable[tuple[str, ValueT]]
) -> Iterator[tuple[str, ValueT | None, ValueT | None]]:
    """Yield every name with its value on both sides, in the order of the first."""
    one, other = dict(before), dict(after)
    for name in dict.fromkeys((*one, *other)):
        yield name, one.get(name), other.get(name)
