"""Why there is no allocation: the conflict in the reader's words, and the nearest bounds that help.

For each numeric bound of a minimal conflict the best value that the other constraints leave is
found by optimising its metric: over the other members alone for what the bound collides with, over
the whole spec for what would make it feasible.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from hawqlang.diagnostics.model import Diagnostic, Label
from hawqlang.ir.plan import ConflictMember, Suggestion
from hawqlang.ir.spec import (
    And,
    Comparator,
    Compare,
    Constraint,
    Linear,
    Metric,
    MetricTerm,
    Predicate,
    Truth,
)
from hawqlang.stages.allocate.conflicts import Conflict, Deciding
from hawqlang.stages.allocate.encode import Space, largest_of, linear
from hawqlang.stages.allocate.encoding import (
    EXCLUDED,
    Encoded,
    assemble,
    encoded,
    goal_name,
)
from hawqlang.stages.allocate.goals import Goal, optimise
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import Row
from hawqlang.stages.allocate.quantities import admitting, feasible_bound, written
from hawqlang.stages.allocate.results import compares, is_constant
from hawqlang.stages.candidates.predicates import at_build

MIRROR: dict[Comparator, Comparator] = {
    "<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "==", "!=": "!=",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explained:
    """A conflict as the reader sees it."""

    members: tuple[ConflictMember, ...]
    suggestions: tuple[Suggestion, ...]
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class _Bound:
    """One numeric bound of a constraint: ``of op limit``, the metric always on the left."""

    constraint: Constraint
    compare: Compare
    of: Linear
    op: Comparator
    limit: Linear

    @property
    def upper(self) -> bool:
        """Whether it bounds from above."""
        return self.op in {"<", "<="}


@dataclass(frozen=True, slots=True)
class Case:
    """What a conflict is explained against."""

    where: Space
    constraints: tuple[Encoded, ...]
    refused: tuple[Row, ...]
    limits: Limits

    def spec(self, name: str) -> Constraint:
        """Return the constraint called ``name``."""
        return next(one for one in self.where.known.build.constraints if one.name == name)

    def reach(self, form: Linear, keep: Sequence[Encoded], *, smallest: bool) -> Fraction | None:
        """Return the smallest (largest) value that an expression can take; ``None``: none known."""
        sign = Fraction(1 if smallest else -1)
        forms = largest_of(self.where, form)
        if len(forms) > 1 and not smallest:
            return None
        goal = Goal("value", tuple(one.scaled(sign) for one in forms))
        merged = assemble(self.where, keep, self.refused, [goal])
        found = None if merged is None else optimise(self.where, merged, [goal], [], self.limits)
        if found is None or found.point is None:
            return None
        point = found.point
        return max(one.at(point) for one in forms)


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
    names = [name for name in conflict.names if name != EXCLUDED]
    core = [case.spec(name) for name in names]
    if EXCLUDED in conflict.names:
        build = case.where.known.build
        core += [one for one in build.constraints if at_build(one.predicate)]
    bounds = [bound for one in core for bound in _bounds(one)]
    rest = [one for one in case.constraints if one.name not in elsewhere]
    suggestions = [s for bound in bounds for s in _suggest(case, bound, rest)]
    members = tuple(ConflictMember(name=c.name, span=c.span, text=c.text) for c in core)
    diagnostic = _diagnostic(case, core, bounds, suggestions)
    if not conflict.minimal:
        note = "the solver ran out of work: a smaller set may conflict already"
        diagnostic = diagnostic.replace(notes=(note, *diagnostic.notes))
    return Explained(members, tuple(suggestions), diagnostic)


def _bounds(constraint: Constraint) -> list[_Bound]:
    """Return the numeric bounds that a constraint states outright."""
    if at_build(constraint.predicate):
        return []
    found: list[_Bound] = []
    for one in compares(constraint.predicate):
        if is_constant(one.right) and not is_constant(one.left):
            found.append(_Bound(constraint, one, one.left, one.op, one.right))
        elif is_constant(one.left) and not is_constant(one.right):
            found.append(_Bound(constraint, one, one.right, MIRROR[one.op], one.left))
    return found


def _without(predicate: Predicate, part: Compare) -> Predicate:
    """Return a conjunction with one comparison taken out."""
    if predicate is part:
        return Truth(value=True, span=part.span)
    if isinstance(predicate, And):
        return predicate.replace(items=tuple(_without(item, part) for item in predicate.items))
    return predicate


def _others(case: Case, bound: _Bound, keep: Sequence[Encoded]) -> list[Encoded]:
    """Return constraints with one bound taken out of its own."""
    own = bound.constraint
    relaxed = own.replace(predicate=_without(own.predicate, bound.compare))
    return [encoded(case.where, relaxed) if one.name == own.name else one for one in keep]


def _suggest(case: Case, bound: _Bound, rest: Sequence[Encoded]) -> list[Suggestion]:
    """Return the nearest value of a bound that makes the spec feasible."""
    others = _others(case, bound, rest)
    limit = linear(case.where, bound.limit).constant
    reached = [
        case.reach(bound.of, others, smallest=smallest) for smallest in _directions(bound.op)
    ]
    known = [one for one in reached if one is not None]
    if not known:
        return []
    value = min(known, key=lambda one: (abs(one - limit), one))
    text, number = _rewritten(case, bound, value)
    return [Suggestion(constraint=bound.constraint.name, text=text, value=float(number))]


def _directions(op: Comparator) -> tuple[bool, ...]:
    match op:
        case "<" | "<=":
            return (True,)
        case ">" | ">=":
            return (False,)
        case _:
            return (True, False) if op == "==" else ()


def _rewritten(case: Case, bound: _Bound, value: Fraction) -> tuple[str, Fraction]:
    """Return the comparison with the bound that ``value`` needs, and that bound in base units."""
    terms = bound.limit.terms
    op = bound.op
    if len(terms) == 1 and bound.limit.constant == 0 and isinstance(terms[0].of, MetricTerm):
        base = linear(case.where, bound.limit).constant / terms[0].coefficient
        if base > 0:
            return _relative(bound, op, value / base, terms[0].of, base)
    quantity = feasible_bound(value, bound.of.dimension, op, _like(case, bound))
    return f"{_subject(bound)} {op} {quantity.text}", quantity.value


def _relative(
    bound: _Bound, op: Comparator, share: Fraction, term: MetricTerm, base: Fraction
) -> tuple[str, Fraction]:
    if "%" in bound.constraint.text:
        shown = admitting(share * 100, op)
        return f"{_subject(bound)} {op} {shown}% of {goal_name(term)}", Fraction(shown) / 100 * base
    shown = admitting(share, op)
    return f"{_subject(bound)} {op} {shown} * {goal_name(term)}", Fraction(shown) * base


def _subject(bound: _Bound) -> str:
    """Return the bounded side as written."""
    sides = sides_of(bound.constraint.text)
    if len(sides) == 2:
        return sides[0] if bound.compare.left is bound.of else sides[1]
    return " + ".join(goal_name(term.of) for term in bound.of.terms)


def _limit_text(bound: _Bound) -> str:
    """Return the bound as written; the whole constraint where it holds several comparisons."""
    sides = sides_of(bound.constraint.text)
    if len(sides) == 2:
        return sides[1] if bound.compare.left is bound.of else sides[0]
    return bound.constraint.text


def sides_of(text: str) -> list[str]:
    """Return the sides of a comparison; an operator inside brackets or a string does not count."""
    sides, start, depth = list[str](), 0, 0
    for found in re.finditer(r'"[^"]*"|[()\[\]]|<=|>=|==|!=|<|>', text):
        sign = found[0]
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign[0] in "<>=!":
            sides.append(text[start : found.start()].strip())
            start = found.end()
    return [*sides, text[start:].strip()]


def _diagnostic(
    case: Case,
    core: Sequence[Constraint],
    bounds: Sequence[_Bound],
    suggestions: Sequence[Suggestion],
) -> Diagnostic:
    notes = {one.name: _note(case, one, core, bounds) for one in core}
    first = bounds[0].constraint if bounds else core[0] if core else None
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
        help=_help(case, suggestions),
    )


def _message(core: Sequence[Constraint]) -> str:
    names = [f"'{one.name}'" for one in core]
    if not names:
        return "no allocation is left: all of them are excluded"
    if len(names) == 1:
        return f"no allocation satisfies {names[0]}"
    return f"no allocation satisfies {', '.join(names[:-1])} and {names[-1]} together"


def _note(case: Case, one: Constraint, core: Sequence[Constraint], bounds: Sequence[_Bound]) -> str:
    """Return what a member has to do with the conflict."""
    own = next((bound for bound in bounds if bound.constraint is one), None)
    encodings = [e for e in case.constraints if e.name in {other.name for other in core}]
    if own is not None:
        return _bound_note(case, own, encodings)
    if len(bounds) == 1 and not at_build(one.predicate):
        return _share_note(case, one, bounds[0], encodings)
    return "refused what was left" if at_build(one.predicate) else "required here"


def _like(case: Case, bound: _Bound) -> str:
    """Return the bound with its unit, as written or as it would be."""
    limit = linear(case.where, bound.limit).constant
    return written(limit, bound.of.dimension, _limit_text(bound))


def _bound_note(case: Case, bound: _Bound, core: Sequence[Encoded]) -> str:
    """Return "allows 5.70 MiB; together with 'ends' at least 5.82 MiB is needed"."""
    shown = _like(case, bound)
    said = f"allows {shown}" if bound.upper else f"asks for {shown}"
    if bound.op in {"==", "!="}:
        return said
    value = case.reach(bound.of, _others(case, bound, core), smallest=bound.upper)
    if value is None:
        return said
    others = [f"'{one.name}'" for one in core if one.name != bound.constraint.name]
    together = f"together with {', '.join(others)} " if others else ""
    reached = feasible_bound(value, bound.of.dimension, bound.op, shown).text
    if bound.upper:
        return f"{said}; {together}at least {reached} is needed"
    return f"{said}; {together}at most {reached} is possible"


def _share_note(case: Case, one: Constraint, bound: _Bound, core: Sequence[Encoded]) -> str:
    """Return "adds 0.25 MiB to the smallest, 5.57 MiB"."""
    others = _others(case, bound, core)
    with_it = case.reach(bound.of, others, smallest=bound.upper)
    alone = [other for other in others if other.name != one.name]
    without = case.reach(bound.of, alone, smallest=bound.upper)
    if with_it is None or without is None or bound.op in {"==", "!="}:
        return "required here"
    like, dimension = _like(case, bound), bound.of.dimension
    change, rest = (written(v, dimension, like) for v in (abs(with_it - without), without))
    if bound.upper:
        return f"adds {change} to the smallest, {rest}"
    return f"takes {change} from the largest, {rest}"


def _help(case: Case, suggestions: Sequence[Suggestion]) -> str | None:
    if not suggestions:
        return None
    return "feasible from " + ", or from ".join(f"`{_as_param(case, one)}`" for one in suggestions)


def _as_param(case: Case, suggestion: Suggestion) -> str:
    """Return the suggestion as a param's value where the bound is the name of one."""
    constraint = case.spec(suggestion.constraint)
    side = sides_of(constraint.text)[-1]
    if not re.fullmatch(r"[A-Za-z_]\w*", side) or side in get_args(Metric):
        return suggestion.text
    value = sides_of(suggestion.text)[-1]
    kinds = {"size": "size", "time": "time", "macs": "work", "bops": "work"}
    dimension = compares(constraint.predicate)[0].left.dimension
    kind = kinds.get(dimension, "float" if "." in value else "int")
    return f"param {side}: {kind} = {value}"
