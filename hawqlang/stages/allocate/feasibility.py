"""Feasibility without measurements: what `hawqc check` can prove before anything is calibrated."""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build, Constraint
from hawqlang.stages.allocate.advice import advice
from hawqlang.stages.allocate.encode import space
from hawqlang.stages.allocate.encoding import check_selectors, encode_all
from hawqlang.stages.allocate.explain import why
from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.nearest import Case
from hawqlang.stages.candidates.metrics import facts
from hawqlang.stages.candidates.predicates import at_build, metrics_of


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
    where = space(here)
    reasons = why(Case(where, encode_all(where), (), limits))
    return Feasibility(
        diagnostics=(*(one.diagnostic for one in reasons), *advice(known)),
        skipped=tuple((name, reason) for name, reason in waiting.items() if reason),
    )


def _waits_for(constraint: Constraint, candidates: CandidateTable) -> str:
    """Return what a constraint waits for, "" where it can be decided now."""
    if at_build(constraint.predicate):
        return "at build"
    if not candidates.measured and "perturbation" in metrics_of(constraint.predicate):
        return "needs sensitivities"
    return ""
