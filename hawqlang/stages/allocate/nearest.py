"""The nearest bounds that make a spec feasible, as a reader would write them.

For a bound on a metric, the best value that the other constraints leave is found by optimising the
metric itself. For a bound on bits, the values that layers can have are tried, the nearest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hawqlang.base import NOWHERE
from hawqlang.ir.plan import Suggestion
from hawqlang.ir.spec import (
    And,
    Comparator,
    Compare,
    Constraint,
    Linear,
    MetricTerm,
    Predicate,
    PropertyCompare,
    PropertyOf,
    PropertyValue,
    Truth,
)
from hawqlang.stages.allocate.encode import largest_of, linear
from hawqlang.stages.allocate.encoding import Encoded, assemble, encoded, goal_name
from hawqlang.stages.allocate.goals import Goal, optimise
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import Row
from hawqlang.stages.allocate.quantities import admitting, feasible_bound, written
from hawqlang.stages.allocate.results import compares, is_constant
from hawqlang.stages.allocate.space import Space
from hawqlang.stages.candidates.predicates import at_build

MIRROR: dict[Comparator, Comparator] = {
    "<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "==", "!=": "!=",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bound:
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
class Reach:
    """The best value of an expression."""

    value: Fraction
    """Reached by an allocation."""
    proven: bool
    """Whether none is better."""


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

    def reach(self, form: Linear, keep: Sequence[Encoded], *, smallest: bool) -> Reach | None:
        """Return the smallest (largest) value that an expression can take; ``None``: none known."""
        sign = Fraction(1 if smallest else -1)
        forms = largest_of(self.where, form)
        if len(forms) > 1 and not smallest:
            return None
        goal = Goal("value", tuple(one.scaled(sign) for one in forms))
        merged = assemble(self.where, keep, self.refused, [goal])
        found = None if merged is None else optimise(self.where, merged, [goal], self.limits)
        if found is None or found.point is None:
            return None
        value = max(one.at(found.point) for one in forms)
        return Reach(value, found.reached[0].proven)

    def possible(self, keep: Sequence[Encoded]) -> bool:
        """Return whether some allocation is found for these constraints."""
        goal = Goal("nothing", (linear(self.where, Linear(dimension="number")),))
        merged = assemble(self.where, keep, self.refused, [goal])
        if merged is None:
            return False
        return optimise(self.where, merged, [goal], self.limits).point is not None


def bounds(constraint: Constraint) -> list[Bound]:
    """Return the numeric bounds that a constraint states outright."""
    if at_build(constraint.predicate):
        return []
    found: list[Bound] = []
    for part in conjuncts(constraint.predicate):
        for one in compares(part):
            if is_constant(one.right) and not is_constant(one.left):
                found.append(Bound(constraint, one, one.left, one.op, one.right))
            elif is_constant(one.left) and not is_constant(one.right):
                found.append(Bound(constraint, one, one.right, MIRROR[one.op], one.left))
    return found


def conjuncts(predicate: Predicate) -> Iterator[Predicate]:
    """Yield the predicates that must all hold."""
    if isinstance(predicate, And):
        for item in predicate.items:
            yield from conjuncts(item)
    else:
        yield predicate


def suggestions(
    case: Case, core: Sequence[Constraint], rest: Sequence[Encoded]
) -> tuple[Suggestion, ...]:
    """Return, for each bound in a conflict, its nearest value that makes the spec feasible.

    Args:
        case: the constraints.
        core: the members of the conflict.
        rest: the constraints to be met, the members included.
    """
    found: list[Suggestion] = []
    for constraint in core:
        for bound in bounds(constraint):
            found += _of_metric(case, bound, rest)
        for part in conjuncts(constraint.predicate):
            if isinstance(part, PropertyCompare):
                found += _of_bits(case, constraint, part, rest)
    return tuple(found)


def without(
    case: Case, constraint: Constraint, part: Predicate, keep: Sequence[Encoded]
) -> list[Encoded]:
    """Return constraints of which one has lost one of the predicates that it joins."""
    return _exchanged(case, constraint, part, Truth(value=True, span=NOWHERE), keep)


def sides(text: str) -> list[str]:
    """Return the sides of a comparison; an operator inside brackets or a string does not count."""
    found, start, depth = list[str](), 0, 0
    for match in re.finditer(r'"[^"]*"|[()\[\]]|<=|>=|==|!=|<|>', text):
        sign = match[0]
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign[0] in "<>=!":
            found.append(text[start : match.start()].strip())
            start = match.end()
    return [*found, text[start:].strip()]


def shown_limit(case: Case, bound: Bound) -> str:
    """Return the bound with its unit, as written or as it would be."""
    limit = linear(case.where, bound.limit).constant
    return written(limit, bound.of.dimension, _limit_text(bound))


def _of_metric(case: Case, bound: Bound, rest: Sequence[Encoded]) -> list[Suggestion]:
    others = without(case, bound.constraint, bound.compare, rest)
    limit = linear(case.where, bound.limit).constant
    directions = {"<": [True], "<=": [True], ">": [False], ">=": [False], "==": [True, False]}
    reached = [case.reach(bound.of, others, smallest=d) for d in directions.get(bound.op, ())]
    values = [one.value for one in reached if one is not None]
    if not values:
        return []
    text, value = _rewritten(case, bound, min(values, key=lambda one: (abs(one - limit), one)))
    return [Suggestion(constraint=bound.constraint.name, text=text, value=float(value))]


def _rewritten(case: Case, bound: Bound, value: Fraction) -> tuple[str, Fraction]:
    """Return the comparison with the bound that ``value`` needs, and that bound in base units."""
    terms, op = bound.limit.terms, bound.op
    if len(terms) == 1 and bound.limit.constant == 0 and isinstance(terms[0].of, MetricTerm):
        base = linear(case.where, bound.limit).constant / terms[0].coefficient
        if base > 0:
            percent = "%" in bound.constraint.text
            number = admitting(value / base * (100 if percent else 1), op)
            share = f"{number}% of" if percent else f"{number} *"
            part = Fraction(number) / (100 if percent else 1)
            return f"{_subject(bound)} {op} {share} {goal_name(terms[0].of)}", part * base
    quantity = feasible_bound(value, bound.of.dimension, op, shown_limit(case, bound))
    return f"{_subject(bound)} {op} {quantity.text}", quantity.value


def _subject(bound: Bound) -> str:
    """Return the bounded side as written."""
    found = sides(bound.constraint.text)
    if len(found) == 2:
        return found[0] if bound.compare.left is bound.of else found[1]
    return " + ".join(goal_name(term.of) for term in bound.of.terms)


def _limit_text(bound: Bound) -> str:
    """Return the bound as written; the whole constraint where it holds several comparisons."""
    found = sides(bound.constraint.text)
    if len(found) == 2:
        return found[1] if bound.compare.left is bound.of else found[0]
    return bound.constraint.text


def _of_bits(
    case: Case, constraint: Constraint, part: PropertyCompare, rest: Sequence[Encoded]
) -> list[Suggestion]:
    """Return the nearest number of bits that a bound like ``wbits(S) >= 8`` can have."""
    own, limit = part.left, part.right
    if not (isinstance(own, PropertyOf) and isinstance(limit, PropertyValue)):
        return []
    stated = limit.value
    if not isinstance(stated, int) or own.property == "precision" or part.op == "!=":
        return []
    layers = case.where.known.chosen(own.selector)
    widths = {
        p.wbits if own.property == "wbits" else p.abits
        for layer in layers
        for p in case.where.choices[layer]
    }
    looser = [bits for bits in widths if _looser(part.op, bits, stated)]
    looser.sort(key=lambda one: (abs(one - stated), one))

    def mends(bits: int) -> bool:
        changed = part.replace(right=PropertyValue(value=bits))
        return case.possible(_exchanged(case, constraint, part, changed, rest))

    if part.op != "==" and looser and not mends(looser[-1]):  # then none that asks for more does
        return []
    for bits in looser:
        if mends(bits):
            text = re.sub(rf"\b{stated}\b(?!.*\b{stated}\b)", str(bits), constraint.text)
            return [Suggestion(constraint=constraint.name, text=text, value=float(bits))]
    return []


def _looser(op: Comparator, bits: int, stated: int) -> bool:
    """Return whether a bound of ``bits`` may admit what one of ``stated`` does not."""
    if op in {"<", "<="}:
        return bits > stated
    return bits < stated if op in {">", ">="} else bits != stated


def _exchanged(
    case: Case, constraint: Constraint, part: Predicate, new: Predicate, keep: Sequence[Encoded]
) -> list[Encoded]:
    changed = constraint.replace(predicate=_replaced(constraint.predicate, part, new))
    return [encoded(case.where, changed) if one.name == constraint.name else one for one in keep]


def _replaced(predicate: Predicate, part: Predicate, new: Predicate) -> Predicate:
    if predicate is part:
        return new
    if isinstance(predicate, And):
        return predicate.replace(items=tuple(_replaced(i, part, new) for i in predicate.items))
    return predicate
