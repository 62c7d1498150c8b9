"""Candidates and constraints to a plan: the best allocation, proven, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from hawqlang.base import Precision
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build, MetricTerm
from hawqlang.ir.spec import Goal as SpecGoal
from hawqlang.stages.allocate.advice import advice
from hawqlang.stages.allocate.encode import metric
from hawqlang.stages.allocate.encoding import (
    Encoded,
    assemble,
    encode_all,
    exclusions,
    goal_name,
    objective,
)
from hawqlang.stages.allocate.explain import Explained, why
from hawqlang.stages.allocate.goals import Goal, Optimum, Reached, optimise
from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.names import check_selectors
from hawqlang.stages.allocate.nearest import Case
from hawqlang.stages.allocate.problem import Row
from hawqlang.stages.allocate.results import choices, metrics, results
from hawqlang.stages.allocate.space import Space, space
from hawqlang.stages.candidates.metrics import Allocation, Facts, facts, value
from hawqlang.stages.candidates.predicates import at_build, holds, metrics_of

DEFAULT = SpecGoal(
    metric=MetricTerm(metric="perturbation"), sense="minimize", within=Fraction(0), span=None
)
"""What is minimised where the spec does not say."""


@dataclass(frozen=True, slots=True)
class Question:
    """A build's allocation problem, encoded."""

    known: Facts
    where: Space
    constraints: tuple[Encoded, ...]
    refused: tuple[Row, ...]
    goals: tuple[Goal, ...]
    """In order of priority; the last one does not slip."""

    def answer(self, limits: Limits, *extra: Row) -> Optimum:
        """Return the best allocation that also meets the ``extra`` rows."""
        ties = tie_breakers(self.where, self.goals)
        rows = (*self.refused, *extra)
        merged = assemble(self.where, self.constraints, rows, [*self.goals, *ties])
        if merged is None:
            return Optimum("infeasible")
        return optimise(self.where, merged, self.goals, limits, ties)


def question(
    build: Build,
    table: LayerTable,
    candidates: CandidateTable,
    exclude: Sequence[Mapping[str, Precision]] = (),
) -> Question:
    """Return the problem of a build; see ``allocate`` for the arguments.

    Raises:
        HawqError: a selector matches nothing, or a metric is not known for these layers.
    """
    known = facts(build, table, candidates)
    check_selectors(known)
    _check_sensitivities(known)
    where = space(known)
    constraints = encode_all(where)
    refused = exclusions(where, exclude)
    goals = [objective(where, goal) for goal in build.objective or (DEFAULT,)]
    # A slip is for the sake of the goals that follow: the last one has none to slip for.
    goals[-1] = replace(goals[-1], within=Fraction(0))
    return Question(known, where, constraints, refused, tuple(goals))


def allocate(
    build: Build,
    table: LayerTable,
    candidates: CandidateTable,
    *,
    exclude: Sequence[Mapping[str, Precision]] = (),
    limits: Limits = NORMAL,
) -> BitPlan:
    """Return the best allocation that satisfies every constraint, with what is proven about it.

    Constraints on the accuracies are left to the build and stand in the plan as undecided.

    Args:
        build: goals and constraints.
        table: the layers.
        candidates: what each layer may take, with sensitivities where a goal or constraint asks
            for the perturbation.
        exclude: allocations that the build has refused. Each is excluded with everything below it
            (every layer at equal or lower precision).
        limits: the work allowed to one minimisation.

    Returns:
        A plan whose ``status`` is ``optimal``, ``feasible`` (the best found, with the gap proven),
        ``infeasible`` (with ``conflict``, ``suggestions`` and an HQ501 for each conflict) or
        ``unknown`` (HQ509). Nothing is raised for a spec that cannot be met.

    Raises:
        HawqError: a selector matches nothing, or a metric is not known for these layers.
    """
    asked = question(build, table, candidates, exclude)
    known, where = asked.known, asked.where
    found = asked.answer(limits)
    if found.point is None:
        case = Case(where, asked.constraints, asked.refused, limits)
        return _without_allocation(known, found, why(case) if found.status == "infeasible" else ())
    allocation = where.allocation(found.point)
    judge(known, allocation)
    return _plan(known, allocation, found).replace(excluded=len(exclude))


def _check_sensitivities(known: Facts) -> None:
    """Refuse a goal or constraint on the perturbation while nothing is measured (HQ506)."""
    if known.candidates.measured:
        return
    build = known.build
    spans = [g.span for g in build.objective or (DEFAULT,) if g.metric.metric == "perturbation"]
    spans += [c.span for c in build.constraints if "perturbation" in metrics_of(c.predicate)]
    if spans:
        raise HawqError(
            Diagnostic(
                code="HQ506",
                severity="error",
                message="the perturbation is not known: no sensitivities were given",
                span=spans[0] or build.span,
                label="needs a sensitivity for every candidate",
                help="measure them, read them with `file(…)`, or minimise another metric",
            )
        )


def tie_breakers(where: Space, goals: Sequence[Goal]) -> list[Goal]:
    """Return the goals that decide between equal optima, as far as the spec has not fixed them."""
    named = {goal.name for goal in goals if goal.within == 0}
    rule = ["size"] if not where.known.candidates.measured else ["perturbation", "size"]
    terms = (MetricTerm(metric="perturbation"), MetricTerm(metric="size"))
    return [
        Goal(term.metric, (metric(where, term),))
        for term in terms
        if term.metric in rule and term.metric not in named
    ]


def judge(known: Facts, allocation: Allocation) -> None:
    """Check the answer against the spec itself, whatever the encoding said."""
    for constraint in known.build.constraints:
        predicate = constraint.predicate
        if not at_build(predicate) and not holds(known, predicate, allocation):
            message = f"the encoding of '{constraint.name}' lost its meaning"
            raise RuntimeError(message)


def _plan(known: Facts, allocation: Allocation, found: Optimum) -> BitPlan:
    build = known.build
    goals = (
        (goal_name(g.metric), value(known, g.metric, allocation))
        for g in build.objective or (DEFAULT,)
    )
    return BitPlan(
        build=build.name,
        status=found.status,
        gap=relative_gap(found.reached),
        objective=tuple((name, float(reached)) for name, reached in goals),
        metrics=metrics(known, allocation),
        layers=choices(known, allocation),
        constraints=results(known, allocation),
        latency_from=known.build.target.latency_from,
        notes=(*known.candidates.notes, *_notes(found)),
        diagnostics=(*_unproven(known, found), *advice(known)),
    )


def _unproven(known: Facts, found: Optimum) -> tuple[Diagnostic, ...]:
    if found.status == "optimal":
        return ()
    first = next(one for one in found.reached if not one.proven)
    return (
        Diagnostic(
            code="HQ511",
            severity="warning",
            message=(
                f"the allocation is the best found; `{first.name}` is proven to be within "
                f"{relative_gap((first,)):.2%} of the best"
            ),
            span=known.build.span,
            label="the solver's limits were reached",
            help="fewer candidates or more ties make the problem smaller",
        ),
    )


def relative_gap(reached: Sequence[Reached]) -> float:
    """Return the largest proven distance from an optimum, relative to the value reached."""
    gaps = [abs(one.value - one.bound) / (abs(one.value) or Fraction(1)) for one in reached]
    return float(max(gaps, default=Fraction(0)))


def _relative(one: Reached) -> float:
    return float(one.error / (abs(one.value) or Fraction(1)))


def _notes(found: Optimum) -> tuple[str, ...]:
    notes = [
        f"{one.name}: optimal to within {_relative(one):.0e} of it, the solver's resolution"
        for one in found.reached
        if one.proven and one.error
    ]
    if found.status == "optimal" and not found.unique:
        notes.append("other allocations may be equally good: the rule for ties ran out of work")
    return tuple(notes)


def _without_allocation(known: Facts, found: Optimum, reasons: Sequence[Explained]) -> BitPlan:
    unknown = Diagnostic(
        code="HQ509",
        severity="error",
        message="the solver ran out of work before it found an allocation",
        span=known.build.span,
        label="neither an allocation nor a conflict was found",
        help="relax a bound, or tie layers together, and try again",
    )
    return BitPlan(
        build=known.build.name,
        status=found.status,
        gap=None,
        objective=(),
        metrics=(),
        layers=(),
        constraints=(),
        conflict=tuple(member for one in reasons for member in one.members),
        suggestions=tuple(suggestion for one in reasons for suggestion in one.suggestions),
        diagnostics=tuple(one.diagnostic for one in reasons)
        if found.status == "infeasible"
        else (unknown,),
    )
