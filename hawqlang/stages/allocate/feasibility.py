"""Feasibility without measurements: what `hawqc check` can prove before anything is calibrated."""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.base import Precision
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build, Constraint, PropertyCompare, PropertyOf, PropertyValue
from hawqlang.stages.allocate.advice import advice
from hawqlang.stages.allocate.idle import idle
from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.names import check_selectors
from hawqlang.stages.candidates.metrics import Facts, facts
from hawqlang.stages.candidates.predicates import (
    at_build,
    holds,
    measure,
    metrics_of,
    positions,
    related,
)

AT_BUILD = "at build"
"""Why an accuracy has to wait."""


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What was proven, and what has to wait."""

    diagnostics: tuple[Diagnostic, ...]
    """One HQ501 for each conflict, and warnings; no error where an allocation exists."""
    skipped: tuple[tuple[str, str], ...]
    """Constraints that were left out, by name, with the reason: ``("good", "at build")``."""


def feasible(
    build: Build, table: LayerTable, candidates: CandidateTable, limits: Limits = NORMAL
) -> Feasibility:
    """Return whether some allocation satisfies every constraint that needs no measurement.

    Args:
        build: goals and constraints.
        table: the layers.
        candidates: what each layer may take; without sensitivities, what speaks of the perturbation
            is left out.
        limits: the work allowed to one question.

    Raises:
        HawqError: a selector matches nothing, or a metric is not known for these layers.
    """
    known = facts(build, table, candidates)
    check_selectors(known)
    waiting = {c.name: _waits_for(c, candidates) for c in build.constraints}
    now = tuple(c for c in build.constraints if not waiting[c.name])
    here = facts(build.replace(constraints=now), table, candidates)
    found = () if witness(here) is not None else _conflicts(here, limits)
    return Feasibility(
        diagnostics=(*found, *advice(known), *(() if found else idle(here))),
        skipped=tuple((name, reason) for name, reason in waiting.items() if reason),
    )


def witness(known: Facts) -> tuple[Precision, ...] | None:
    """Return a plain allocation that satisfies every constraint, ``None`` where none of those tried does.

    Each layer takes its narrowest, or its widest, candidate that the comparisons of properties with constants allow.
    What is returned has been checked against the spec itself, so no solver has to be loaded for it.
    """
    for widest in (False, True):
        tried = tuple(
            max(allowed, key=_bits) if widest else min(allowed, key=_bits)
            for allowed in _pinned(known)
        )
        if all(holds(known, one.predicate, tried) for one in known.build.constraints):
            return tried
    return None


def _bits(precision: Precision) -> tuple[int, int]:
    return precision.wbits, precision.abits


def _pinned(known: Facts) -> list[tuple[Precision, ...]]:
    """Return per layer the candidates that comparisons with a constant leave, all of them where they leave none."""
    left = [known.candidates.layer(layer.name).precisions() for layer in known.table.layers]
    for constraint in known.build.constraints:
        one = constraint.predicate
        if not isinstance(one, PropertyCompare):
            continue
        side, fixed = one.left, one.right
        if not isinstance(side, PropertyOf) or not isinstance(fixed, PropertyValue):
            continue
        for i in positions(known, side, None):
            kept = tuple(
                p for p in left[i] if related(one.op, measure(side.property, p), fixed.value)
            )
            left[i] = kept or left[i]
    return left


def _conflicts(known: Facts, limits: Limits) -> tuple[Diagnostic, ...]:
    from hawqlang.stages.allocate.encoding import encode_all
    from hawqlang.stages.allocate.explain import why
    from hawqlang.stages.allocate.nearest import Case
    from hawqlang.stages.allocate.space import space

    where = space(known)
    reasons = why(Case(where, encode_all(where), (), limits))
    return tuple(one.diagnostic for one in reasons)


def _waits_for(constraint: Constraint, candidates: CandidateTable) -> str:
    """Return what a constraint waits for, "" where it can be decided now."""
    if at_build(constraint.predicate):
        return AT_BUILD
    if not candidates.measured and "perturbation" in metrics_of(constraint.predicate):
        return "needs sensitivities"
    if not candidates.timed and "latency" in metrics_of(constraint.predicate):
        return "needs measured latencies"
    return ""
