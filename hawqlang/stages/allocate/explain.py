"""Why there is no allocation: each conflict in the reader's words, at its lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from hawqlang.diagnostics.model import Diagnostic, Label
from hawqlang.ir.plan import ConflictMember, Suggestion
from hawqlang.ir.spec import Constraint, Metric
from hawqlang.stages.allocate.conflicts import Conflict, Deciding
from hawqlang.stages.allocate.encoding import EXCLUDED, Encoded
from hawqlang.stages.allocate.nearest import (
    Bound,
    Case,
    Reach,
    bounds,
    shown_limit,
    sides,
    suggestions,
    without,
)
from hawqlang.stages.allocate.quantities import feasible_bound, written
from hawqlang.stages.allocate.results import compares
from hawqlang.stages.candidates.predicates import at_build


@dataclass(frozen=True, slots=True)
class Explained:
    """A conflict as the reader sees it."""

    members: tuple[ConflictMember, ...]
    suggestions: tuple[Suggestion, ...]
    diagnostic: Diagnostic


def why(case: Case) -> tuple[Explained, ...]:
    """Return every conflict of constraints that cannot be met, no two sharing a member."""
    named = case.constraints
    if case.refused:
        named = (*named, Encoded(EXCLUDED, case.refused, ()))
    conflicts = Deciding(case.where, named, case.limits).conflicts()
    members = [set(one.names) for one in conflicts]
    explained: list[Explained] = []
    for k, conflict in enumerate(conflicts):
        elsewhere = set[str]().union(*members[:k], *members[k + 1 :])
        explained.append(explain(case, conflict, sorted(elsewhere)))
    return tuple(explained)


def explain(case: Case, conflict: Conflict, elsewhere: Sequence[str]) -> Explained:
    """Return one conflict in the reader's words.

    Args:
        case: the constraints.
        conflict: a minimal set that cannot be met.
        elsewhere: members of other conflicts, which no change here can mend.
    """
    core = [case.spec(name) for name in conflict.names if name != EXCLUDED]
    if EXCLUDED in conflict.names:
        build = case.where.known.build
        core += [one for one in build.constraints if at_build(one.predicate)]
    rest = [one for one in case.constraints if one.name not in elsewhere]
    found = suggestions(case, core, rest)
    members = tuple(ConflictMember(name=c.name, span=c.span, text=c.text) for c in core)
    diagnostic = _diagnostic(case, core, found)
    doubts = [
        "the solver ran out of work: a smaller set may conflict already" * (not conflict.minimal),
        "proven by exact arithmetic; Z3 ran out of work proving it again"
        * (not conflict.proven_by_z3),
    ]
    diagnostic = diagnostic.replace(notes=(*filter(None, doubts), *diagnostic.notes))
    return Explained(members, found, diagnostic)


def _diagnostic(case: Case, core: Sequence[Constraint], found: Sequence[Suggestion]) -> Diagnostic:
    numeric = [bound for one in core for bound in bounds(one)]
    names = {one.name for one in core}
    encodings = [e for e in case.constraints if e.name in names]
    together = _Together(case, numeric[0], encodings) if len(numeric) == 1 else None
    notes = {one.name: _note(case, one, numeric, encodings, together) for one in core}
    first = numeric[0].constraint if numeric else core[0] if core else None
    return Diagnostic(
        code="HQ501",
        severity="error",
        message=_message(core),
        span=first.span if first else case.where.known.build.span,
        label=notes[first.name] if first else "",
        labels=tuple(
            Label(span=one.span, message=notes[one.name]) for one in core if one is not first
        ),
        notes=("run `hawqc explain HQ501` for more",),
        help=_help(case, found),
    )


def _message(core: Sequence[Constraint]) -> str:
    names = [f"'{one.name}'" for one in core]
    if not names:
        return "no allocation is left: all of them are excluded"
    if len(names) == 1:
        return f"no allocation satisfies {names[0]}"
    return f"no allocation satisfies {listed(names)} together"


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), names[-1]])


def _note(
    case: Case,
    one: Constraint,
    numeric: Sequence[Bound],
    core: Sequence[Encoded],
    together: _Together | None,
) -> str:
    """Return what a member has to do with the conflict."""
    if at_build(one.predicate):
        return "refused every allocation that was left"
    own = next((bound for bound in numeric if bound.constraint is one), None)
    if own is not None:
        return _bound_note(case, own, core)
    return "required here" if together is None else together.share_note(one)


def _bound_note(case: Case, bound: Bound, core: Sequence[Encoded]) -> str:
    """Return "allows 5.70 MiB; together with 'ends' at least 5.82 MiB is needed"."""
    shown = shown_limit(case, bound)
    said = f"allows {shown}" if bound.upper else f"asks for {shown}"
    if bound.op in {"==", "!="}:
        return said
    others = without(case, bound.constraint, bound.compare, core)
    best = case.reach(bound.of, others, smallest=bound.upper)
    if best is None or not best.proven:
        return said
    names = [f"'{one.name}'" for one in core if one.name != bound.constraint.name]
    together = f"together with {listed(names)} " if names else ""
    reached = feasible_bound(best.value, bound.of.dimension, bound.op, shown).text
    if bound.upper:
        return f"{said}; {together}at least {reached} is needed"
    return f"{said}; {together}at most {reached} is possible"


class _Together:
    """The only bound of a conflict, and the best value that the other members leave it."""

    def __init__(self, case: Case, bound: Bound, core: Sequence[Encoded]) -> None:
        self._case = case
        self._bound = bound
        self._others = without(case, bound.constraint, bound.compare, core)
        self._best = self._reach(self._others) if bound.op not in {"==", "!="} else None

    def share_note(self, one: Constraint) -> str:
        """Return "adds 0.25 MiB to the smallest, 5.57 MiB"."""
        if self._best is None:
            return "required here"
        alone = self._reach([other for other in self._others if other.name != one.name])
        if alone is None:
            return "required here"
        like, dimension = shown_limit(self._case, self._bound), self._bound.of.dimension
        change = written(abs(self._best.value - alone.value), dimension, like)
        rest = written(alone.value, dimension, like)
        if self._bound.upper:
            return f"adds {change} to the smallest, {rest}"
        return f"takes {change} from the largest, {rest}"

    def _reach(self, keep: Sequence[Encoded]) -> Reach | None:
        return self._case.reach(self._bound.of, keep, smallest=self._bound.upper)


def _help(case: Case, found: Sequence[Suggestion]) -> str | None:
    if not found:
        return None
    return "feasible from " + ", or from ".join(f"`{_as_param(case, one)}`" for one in found)


def _as_param(case: Case, suggestion: Suggestion) -> str:
    """Return the suggestion as a param's value where the bound is the name of one."""
    constraint = case.spec(suggestion.constraint)
    side = sides(constraint.text)[-1]
    numeric = compares(constraint.predicate)
    if not numeric or not re.fullmatch(r"[A-Za-z_]\w*", side) or side in get_args(Metric):
        return suggestion.text
    value = sides(suggestion.text)[-1]
    kinds = {"size": "size", "time": "time", "macs": "work", "bops": "work"}
    kind = kinds.get(numeric[0].left.dimension, "float" if "." in value else "int")
    return f"param {side}: {kind} = {value}"
