"""Warnings about constraints that are legal and probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.spec import (
    And,
    Compare,
    Constraint,
    Each,
    Implies,
    Not,
    Or,
    Predicate,
    PropertyCompare,
    PropertyOf,
    Same,
    Truth,
)
from hawqlang.stages.candidates.metrics import Facts
from hawqlang.stages.candidates.selectors import describe


def advice(known: Facts) -> tuple[Diagnostic, ...]:
    """Return a warning (HQ510) for every comparison of several layers that a negation reads as one.

    ``wbits(S) == 4 implies …`` asks nothing as soon as one layer of S is not at 4 bits; what is
    usually meant is a rule about each layer.
    """
    return tuple(
        _offer_each(constraint, one)
        for constraint in known.build.constraints
        for one in _negated(constraint.predicate, under=False)
        if _speaks_of_several(known, one)
    )


def _negated(predicate: Predicate, *, under: bool) -> Iterator[PropertyCompare]:
    """Yield the property comparisons left of ``implies`` or under ``not``."""
    match predicate:
        case PropertyCompare():
            if under:
                yield predicate
        case And() | Or():
            for item in predicate.items:
                yield from _negated(item, under=under)
        case Not():
            yield from _negated(predicate.item, under=True)
        case Implies():
            yield from _negated(predicate.left, under=True)
            yield from _negated(predicate.right, under=under)
        case Each() | Compare() | Same() | Truth():
            return
        case _:
            assert_never(predicate)


def _speaks_of_several(known: Facts, compare: PropertyCompare) -> bool:
    return any(
        isinstance(side, PropertyOf) and side.selector and len(known.chosen(side.selector)) > 1
        for side in (compare.left, compare.right)
    )


def _offer_each(constraint: Constraint, compare: PropertyCompare) -> Diagnostic:
    sides = (compare.left, compare.right)
    chosen = next(s.selector for s in sides if isinstance(s, PropertyOf) and s.selector)
    return Diagnostic(
        code="HQ510",
        severity="warning",
        message=f"'{constraint.name}' compares several layers as one",
        span=compare.span,
        label="true only where it holds for every one of them",
        help=f"for a rule about each layer by itself write `each {describe(chosen)}: …`",
    )
