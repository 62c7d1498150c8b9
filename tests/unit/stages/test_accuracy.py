"""Constraints on accuracy, decided on what was measured."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.spec import Compare, Constraint, Linear, MetricTerm, Term
from hawqlang.stages.accuracy import accuracy_constraints, decide
from tests.support.allocation import build, metric_form, named, span


def metric(name: str) -> Linear:
    term = Term(coefficient=Fraction(1), of=MetricTerm.model_validate({"metric": name}))
    return Linear(dimension="number", terms=(term,))


def number(value: Fraction) -> Linear:
    return Linear(dimension="number", constant=value)


def constraint(name: str, op: str, bound: Fraction, *, flipped: bool = False) -> Constraint:
    sides = (metric(name), number(bound))
    left, right = sides[::-1] if flipped else sides
    compare = Compare.model_validate({"op": op, "left": left, "right": right, "span": span(1)})
    return named("good", compare, f"{name} {op} {bound}")


def measured(right: int, float_right: int, n: int = 600) -> Evaluation:
    return Evaluation(n=n, accuracy=right / n, fp32_accuracy=float_right / n, agreement=1.0)


@pytest.mark.parametrize(("right", "holds"), [(588, True), (587, False), (594, True), (600, True)])
def test_a_drop_of_exactly_the_bound_holds(right: int, *, holds: bool) -> None:
    result = decide(constraint("accuracy_drop", "<=", Fraction(1, 100)), measured(right, 594))
    assert result.holds is holds


def test_slack_is_positive_where_there_is_room() -> None:
    lower = decide(constraint("accuracy", ">=", Fraction(9, 10)), measured(570, 600))
    flipped = decide(
        constraint("accuracy", "<=", Fraction(9, 10), flipped=True), measured(570, 600)
    )
    assert lower.slack == pytest.approx(0.05)
    assert flipped.slack == pytest.approx(0.05)
    assert flipped.value == pytest.approx(0.95)


def test_what_could_not_be_measured_does_not_hold() -> None:
    unlabelled = Evaluation(n=10, accuracy=None, fp32_accuracy=None, agreement=0.9)
    result = decide(constraint("accuracy", ">=", Fraction(1, 2)), unlabelled)
    assert result.holds is False
    assert result.value is None
    assert result.slack is None


def test_only_constraints_on_accuracy_wait_for_the_build() -> None:
    good = constraint("accuracy_drop", "<=", Fraction(1, 100))
    fits = named(
        "fits",
        Compare(op="<=", left=metric_form("size"), right=metric_form("size", 2), span=span(2)),
    )
    assert accuracy_constraints(build(constraints=(fits, good))) == (good,)
