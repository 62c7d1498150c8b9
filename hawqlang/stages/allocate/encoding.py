"""A build's constraints, encoded once: rows by name, ties, and the goals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hawqlang.base import Precision
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.spec import (
    And,
    Constraint,
    CountTerm,
    MetricTerm,
    Predicate,
    Same,
)
from hawqlang.ir.spec import Goal as SpecGoal
from hawqlang.stages.allocate.encode import encode, metric, peaks
from hawqlang.stages.allocate.goals import Goal
from hawqlang.stages.allocate.problem import Row
from hawqlang.stages.allocate.rows import Merged, merged, problem, rows
from hawqlang.stages.allocate.space import Space, not_below
from hawqlang.stages.candidates.predicates import at_build
from hawqlang.stages.candidates.selectors import describe

EXCLUDED = ""
"""Name of the rows that exclude allocations tried before."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One named constraint as rows, and as ties where it says nothing else."""

    name: str
    rows: tuple[Row, ...]
    """All of it but the ties."""
    ties: tuple[tuple[int, ...], ...]
    """Layers that must share their precision."""


def encoded(where: Space, constraint: Constraint) -> Encoded:
    """Return a constraint as rows and ties."""
    ties: list[tuple[int, ...]] = []
    own: list[Row] = []
    for predicate in _conjuncts(constraint.predicate):
        if isinstance(predicate, Same) and predicate.property == "precision":
            ties += where.known.tied(predicate.selector)
        else:
            own += rows(where, constraint.name, encode(where, predicate))
    return Encoded(constraint.name, tuple(own), tuple(ties))


def encode_all(where: Space) -> tuple[Encoded, ...]:
    """Return every constraint that does not have to wait for the build."""
    constraints = where.known.build.constraints
    return tuple(encoded(where, one) for one in constraints if not at_build(one.predicate))


def exclusions(where: Space, tried: Iterable[Mapping[str, Precision]]) -> tuple[Row, ...]:
    """Return the rows that exclude allocations, and everything below each of them."""
    names = [layer.name for layer in where.known.table.layers]
    found: list[Row] = []
    for one in tried:
        caps = [one[name] for name in names]
        found += rows(where, EXCLUDED, not_below(where, caps))
    return tuple(found)


def assemble(
    where: Space, constraints: Sequence[Encoded], extra: Sequence[Row], goals: Sequence[Goal]
) -> Merged | None:
    """Return the problem of some constraints with ties merged; ``None``: a tie cannot hold."""
    costs = [form for goal in goals for form in goal.forms]
    whole = problem(where, [*(one.rows for one in constraints), extra], costs)
    return merged(where, whole, [tie for one in constraints for tie in one.ties])


def objective(where: Space, goal: SpecGoal) -> Goal:
    """Return a goal of the spec as something to minimise.

    Raises:
        HawqError: it is to maximise the peak memory, which is a largest of many (HQ508).
    """
    sign = Fraction(1 if goal.sense == "minimize" else -1)
    if goal.metric.metric == "peak_memory" and goal.metric.at is None:
        if sign < 0:
            raise HawqError(_no_largest_peak(goal))
        return Goal(goal_name(goal.metric), peaks(where), goal.within)
    form = metric(where, goal.metric).scaled(sign)
    return Goal(goal_name(goal.metric), (form,), goal.within)


def goal_name(term: MetricTerm | CountTerm) -> str:
    """Return a term as a reader would write it: ``size("fc")``."""
    if isinstance(term, CountTerm):
        return f"count({describe(term.selector)})"
    arguments = [] if term.at is None else [str(term.at)]
    arguments += [] if term.selector is None else [describe(term.selector)]
    return f"{term.metric}({', '.join(arguments)})" if arguments else term.metric


def _conjuncts(predicate: Predicate) -> Iterator[Predicate]:
    if isinstance(predicate, And):
        for item in predicate.items:
            yield from _conjuncts(item)
    else:
        yield predicate


def _no_largest_peak(goal: SpecGoal) -> Diagnostic:
    return Diagnostic(
        code="HQ508",
        severity="error",
        message="`peak_memory` cannot be maximised",
        span=goal.span,
        label="takes upper bounds and `minimize` only",
        help="write `minimize peak_memory`",
    )
