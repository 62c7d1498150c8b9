"""Constraints that only running the integer program can decide: `accuracy` and `accuracy_drop`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction

from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.plan import BitPlan, ConstraintResult
from hawqlang.ir.spec import (
    Build,
    Compare,
    Constraint,
    Linear,
    MetricTerm,
)

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def accuracy_constraints(build: Build) -> tuple[Constraint, ...]:
    """Return the constraints of a build that speak of accuracy, in the order written."""
    return tuple(c for c in build.constraints if _metrics(c) & {"accuracy", "accuracy_drop"})


def decide(constraint: Constraint, found: Evaluation) -> ConstraintResult:
    """Return how an accuracy constraint stands for what was measured."""
    compare = constraint.predicate
    if not isinstance(compare, Compare):
        raise TypeError(f"'{constraint.name}' is no comparison; resolve lets no other through")
    left, right = _value(compare.left, found), _value(compare.right, found)
    measured_left = bool(compare.left.terms)
    value, bound = (left, right) if measured_left else (right, left)
    unknown = math.isnan(value)
    upper = (compare.op in ("<", "<=")) == measured_left
    return ConstraintResult(
        name=constraint.name,
        text=constraint.text,
        value=None if unknown else value,
        bound=bound,
        slack=None if unknown else bound - value if upper else value - bound,
        holds=_COMPARE[compare.op](left, right),
        unit="%",
    )


def with_accuracy(plan: BitPlan, decided: tuple[ConstraintResult, ...]) -> BitPlan:
    """Return the plan with its accuracy constraints filled in."""
    found = {result.name: result for result in decided}
    return plan.replace(constraints=tuple(found.get(c.name, c) for c in plan.constraints))


def _metrics(constraint: Constraint) -> set[str]:
    predicate = constraint.predicate
    if not isinstance(predicate, Compare):
        return set()
    terms = (*predicate.left.terms, *predicate.right.terms)
    return {term.of.metric for term in terms if isinstance(term.of, MetricTerm)}


def _value(linear: Linear, found: Evaluation) -> float:
    """Return the value of one side; an accuracy that could not be measured is not a number.

    Shares of samples are added as exact fractions: ``1 %`` of 600 is 6, not a little more or less.
    """
    total = linear.constant
    for term in linear.terms:
        metric = term.of.metric if isinstance(term.of, MetricTerm) else ""
        measured = {"accuracy": found.accuracy, "accuracy_drop": found.drop}.get(metric)
        if measured is None:
            return math.nan
        total += term.coefficient * Fraction(measured).limit_denominator(found.n)
    return float(total)
