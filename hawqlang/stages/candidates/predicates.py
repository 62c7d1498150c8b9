"""Whether a constraint holds for an allocation: its meaning, straight from the language.

The solver works on an encoding; every answer it gives is judged again here, on the spec's words.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import assert_never

from hawqlang.base import Precision
from hawqlang.ir.spec import (
    And,
    Comparator,
    Compare,
    CountTerm,
    Each,
    Implies,
    Linear,
    Metric,
    MetricTerm,
    Not,
    Or,
    Predicate,
    Property,
    PropertyCompare,
    PropertyOf,
    PropertyValue,
    Same,
    Truth,
)
from hawqlang.stages.candidates.metrics import AT_BUILD, Allocation, Facts, value

EXACT: dict[Comparator, Callable[[Fraction, Fraction], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(  # noqa: PLR0911 - one return a predicate
    known: Facts, predicate: Predicate, allocation: Allocation, here: int | None = None
) -> bool:
    """Return whether ``predicate`` is true of ``allocation``.

    Args:
        known: build, layers and candidates.
        predicate: nothing that only a build can tell (``at_build``).
        allocation: one precision per layer.
        here: position of the layer that bare ``wbits``, ``abits`` and ``precision`` speak of.
    """
    match predicate:
        case Truth():
            return predicate.value
        case Not():
            return not holds(known, predicate.item, allocation, here)
        case And():
            return all(holds(known, item, allocation, here) for item in predicate.items)
        case Or():
            return any(holds(known, item, allocation, here) for item in predicate.items)
        case Implies():
            left = holds(known, predicate.left, allocation, here)
            return not left or holds(known, predicate.right, allocation, here)
        case Each():
            chosen = known.chosen(predicate.selector)
            return all(holds(known, predicate.predicate, allocation, i) for i in chosen)
        case Same():
            return all(
                measure(predicate.property, allocation[i])
                == measure(predicate.property, allocation[group[0]])
                for group in known.tied(predicate.selector)
                for i in group
            )
        case PropertyCompare():
            return _compare_properties(known, predicate, allocation, here)
        case Compare():
            left = linear(known, predicate.left, allocation)
            return EXACT[predicate.op](left, linear(known, predicate.right, allocation))
        case _:
            assert_never(predicate)


def linear(known: Facts, form: Linear, allocation: Allocation) -> Fraction:
    """Return the value of a linear expression over an allocation."""
    total = form.constant
    for term in form.terms:
        match term.of:
            case MetricTerm():
                total += term.coefficient * value(known, term.of, allocation)
            case CountTerm():
                total += term.coefficient * count(known, term.of, allocation)
            case _:
                assert_never(term.of)
    return total


def count(known: Facts, term: CountTerm, allocation: Allocation) -> int:
    """Return how many layers of the selection meet the condition."""
    chosen = known.chosen(term.selector)
    where = term.where
    if where is None:
        return len(chosen)
    return sum(holds(known, where, allocation, i) for i in chosen)


def measure(name: Property, precision: Precision) -> int | Precision:
    """Return a property of a layer at a precision."""
    match name:
        case "wbits":
            return precision.wbits
        case "abits":
            return precision.abits
        case "precision":
            return precision
        case _:
            assert_never(name)


def related(op: Comparator, left: int | Precision, right: int | Precision) -> bool:
    """Return whether two properties compare; precisions are ordered by both widths together."""
    if isinstance(left, Precision) and isinstance(right, Precision):
        pairs = ((left.wbits, right.wbits), (left.abits, right.abits))
        match op:
            case "==" | "<=" | ">=":
                return all(EXACT[op](Fraction(a), Fraction(b)) for a, b in pairs)
            case "!=":
                return left != right
            case "<":
                return left != right and related("<=", left, right)
            case ">":
                return left != right and related(">=", left, right)
            case _:
                assert_never(op)
    if isinstance(left, int) and isinstance(right, int):
        return EXACT[op](Fraction(left), Fraction(right))
    message = f"{left} and {right} are not of one kind"
    raise TypeError(message)


def at_build(predicate: Predicate) -> bool:
    """Return whether only running the integer program can tell (the accuracies)."""
    return any(metric in AT_BUILD for metric in metrics_of(predicate))


def metrics_of(predicate: Predicate) -> Iterator[Metric]:
    """Yield every metric that a predicate speaks of."""
    for form in _forms(predicate):
        for term in form.terms:
            if isinstance(term.of, MetricTerm):
                yield term.of.metric


def parts(predicate: Predicate) -> tuple[Predicate, ...]:
    """Return the predicates that a predicate is made of, one level down."""
    match predicate:
        case And() | Or():
            return predicate.items
        case Not():
            return (predicate.item,)
        case Implies():
            return (predicate.left, predicate.right)
        case Each():
            return (predicate.predicate,)
        case Compare():
            terms = (*predicate.left.terms, *predicate.right.terms)
            counts = (term.of for term in terms if isinstance(term.of, CountTerm))
            return tuple(term.where for term in counts if term.where is not None)
        case PropertyCompare() | Same() | Truth():
            return ()
        case _:
            assert_never(predicate)


def _forms(predicate: Predicate) -> Iterator[Linear]:
    if isinstance(predicate, Compare):
        yield predicate.left
        yield predicate.right
    for part in parts(predicate):
        yield from _forms(part)


def _compare_properties(
    known: Facts, predicate: PropertyCompare, allocation: Allocation, here: int | None
) -> bool:
    left = _side(known, predicate.left, allocation, here)
    right = _side(known, predicate.right, allocation, here)
    return all(related(predicate.op, a, b) for a in left for b in right)


def _side(
    known: Facts, side: PropertyOf | PropertyValue, allocation: Allocation, here: int | None
) -> list[int | Precision]:
    if isinstance(side, PropertyValue):
        return [side.value]
    return [measure(side.property, allocation[i]) for i in positions(known, side, here)]


def positions(known: Facts, side: PropertyOf, here: int | None) -> tuple[int, ...]:
    """Return the layers that one side of a property comparison speaks of."""
    if side.selector is not None:
        return known.chosen(side.selector)
    if here is None:
        message = "a bare property outside `each` and `where`"
        raise TypeError(message)
    return (here,)
