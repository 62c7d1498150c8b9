"""Selectors of a build's goals and constraints must match layers before anything is encoded."""

from __future__ import annotations

from collections.abc import Iterator

from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.spec import Compare, Each, Predicate, PropertyCompare, PropertyOf, Same, Selector
from hawqlang.stages.candidates.metrics import Facts
from hawqlang.stages.candidates.predicates import parts
from hawqlang.stages.candidates.selectors import unmatched


def check_selectors(known: Facts) -> None:
    """Raise every selector of the constraints and goals that matches no layer (HQ502)."""
    build = known.build
    terms = [goal.metric for goal in build.objective]
    used = [term.selector for term in terms if term.selector is not None]
    used += [s for one in build.constraints for s in selectors(one.predicate)]
    found: list[Diagnostic] = []
    for selector in used:
        found += [d for d in unmatched(selector, known.table) if d not in found]
    if found:
        raise HawqError(*found)


def selectors(predicate: Predicate) -> Iterator[Selector]:
    """Yield every selector that a predicate is written with."""
    match predicate:
        case Same() | Each():
            yield predicate.selector
        case PropertyCompare():
            for side in (predicate.left, predicate.right):
                if isinstance(side, PropertyOf) and side.selector is not None:
                    yield side.selector
        case Compare():
            for term in (*predicate.left.terms, *predicate.right.terms):
                if term.of.selector is not None:
                    yield term.of.selector
        case _:
            pass
    for part in parts(predicate):
        yield from selectors(part)
