"""Constraints to formulas: the meaning of ``predicates`` over the choices of the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import assert_never

from hawqlang.base import Precision
from hawqlang.ir.layers import LiveTensor
from hawqlang.ir.spec import (
    And,
    Comparator,
    Compare,
    CountTerm,
    Each,
    Implies,
    Linear,
    MetricTerm,
    Not,
    Or,
    Predicate,
    Property,
    PropertyCompare,
    PropertyOf,
    PropertyValue,
    Same,
    Truth,
)
from hawqlang.stages.allocate.formula import (
    FALSE,
    TRUE,
    Every,
    Form,
    Formula,
    Some,
    at_most_zero,
    below_zero,
    every,
    negated,
    some,
    total,
)
from hawqlang.stages.allocate.space import (
    Space,
    all_equal,
    having,
    indicator,
    layer_where,
    values_of,
)
from hawqlang.stages.candidates.metrics import (
    ACTIVATION_BITS,
    baseline,
    live,
    shares,
    unit,
)
from hawqlang.stages.candidates.predicates import positions, related


def encode(where: Space, predicate: Predicate, here: int | None = None) -> Formula:  # noqa: PLR0911
    """Return the formula that is true of exactly the allocations that ``predicate`` is true of."""
    match predicate:
        case Truth():
            return TRUE if predicate.value else FALSE
        case Not():
            return negated(encode(where, predicate.item, here))
        case And():
            return every(encode(where, item, here) for item in predicate.items)
        case Or():
            return some(encode(where, item, here) for item in predicate.items)
        case Implies():
            left = negated(encode(where, predicate.left, here))
            return some((left, encode(where, predicate.right, here)))
        case Each():
            chosen = where.known.chosen(predicate.selector)
            return every(encode(where, predicate.predicate, i) for i in chosen)
        case Same():
            tied = where.known.tied(predicate.selector)
            return every(all_equal(where, predicate.property, group) for group in tied)
        case PropertyCompare():
            return _properties(where, predicate, here)
        case Compare():
            return _compare(where, predicate)
        case _:
            assert_never(predicate)


def linear(where: Space, expression: Linear) -> Form:
    """Return a linear expression over the choices; ``peak_memory`` must not be in it."""
    terms = (_term(where, term.of).scaled(term.coefficient) for term in expression.terms)
    return total((Form(expression.constant), *terms))


def largest_of(where: Space, expression: Linear) -> tuple[Form, ...]:
    """Return the forms whose largest an expression is; several where it speaks of peak memory.

    The factor of peak memory, if any, must be positive.
    """
    rest, factor = _split(where, expression)
    if factor == 0:
        return (rest,)
    if factor < 0:
        message = "a peak memory with a minus is a smallest"
        raise ValueError(message)
    return tuple(rest + form.scaled(factor) for form in peaks(where))


def metric(where: Space, term: MetricTerm) -> Form:
    """Return a metric over the choices; ``peak_memory`` only at a baseline."""
    if term.at is not None:
        return Form(baseline(where.known, term, term.at))
    if term.metric == "switches":
        gaps = range(len(where.choices) - 1)
        return total(_switch(where, i) for i in gaps)
    chosen = where.known.chosen(term.selector)
    share = shares(where.known, term.metric, chosen)
    return Form(
        parts={
            i: tuple(
                one if share[i] == 1 else share[i] * one
                for one in (unit(where.known, term.metric, i, p) for p in where.choices[i])
            )
            for i in chosen
        }
    )


def peaks(where: Space) -> tuple[Form, ...]:
    """Return the bytes alive at each step of execution; ``peak_memory`` is the largest."""
    steps = live(where.known)
    return tuple(total(_alive(where, copies) for copies in _copies(step)) for step in steps)


def _copies(step: Iterable[LiveTensor]) -> list[tuple[LiveTensor, ...]]:
    """Return what is alive at a step, tensor by tensor."""
    found: dict[str, list[LiveTensor]] = {}
    for tensor in step:
        found.setdefault(tensor.tensor, []).append(tensor)
    return [tuple(copies) for copies in found.values()]


def _alive(where: Space, copies: tuple[LiveTensor, ...]) -> Form:
    """Return the bytes of one tensor: a copy for each width that some reader wants."""
    tensor = copies[0]
    readers = tuple(where.known.index[c.reader] for c in copies if c.reader is not None)
    fixed = {c.bits or ACTIVATION_BITS for c in copies if c.reader is None}
    widths = sorted(fixed | {p.abits for layer in readers for p in where.choices[layer]})
    return total(
        indicator(
            where,
            ("stored", bits, readers),
            TRUE if bits in fixed else some(having(where, "abits", i, bits) for i in readers),
        ).scaled(Fraction(tensor.elements * (tensor.stored_bits or bits), 8))
        for bits in widths
    )


def _switch(where: Space, layer: int) -> Form:
    """Return 1 where the precision changes after ``layer``, else 0.

    Where both have a choice, a flag tells "they differ" and, one by one, the precisions at which
    they agree: its relaxation is the distance of the two layers' choices, which a flag of two
    choices only bounds.
    """
    pair = (layer, layer + 1)
    differ = negated(all_equal(where, "precision", pair))
    common = [p for p in where.choices[layer] if p in where.choices[layer + 1]]
    if not isinstance(differ, Every | Some):
        return indicator(where, ("switch", layer), differ)
    agree = (every(having(where, "precision", i, p) for i in pair) for p in common)
    flag = where.flag(("switch", layer), lambda: (differ, *agree))
    return Form(parts={flag: (Fraction(1), *(Fraction(0) for _ in common))})


def _term(where: Space, term: MetricTerm | CountTerm) -> Form:
    match term:
        case MetricTerm():
            return metric(where, term)
        case CountTerm():
            chosen = where.known.chosen(term.selector)
            predicate = term.where
            if predicate is None:
                return Form(Fraction(len(chosen)))
            counted = ((i, encode(where, predicate, i)) for i in chosen)
            return total(
                indicator(where, ("count", predicate, i), formula) for i, formula in counted
            )
        case _:
            assert_never(term)


def _compare(where: Space, predicate: Compare) -> Formula:
    left, peak_left = _split(where, predicate.left)
    right, peak_right = _split(where, predicate.right)
    difference = left + right.scaled(Fraction(-1))
    peak = peak_left - peak_right
    if peak == 0:
        return _against_zero(predicate.op, difference)
    tops = tuple(difference + form.scaled(peak) for form in peaks(where))
    return _largest_against_zero(predicate.op, tops) if peak > 0 else _flipped(predicate.op, tops)


def _split(where: Space, expression: Linear) -> tuple[Form, Fraction]:
    """Return an expression without its peak memory, and the factor of that."""
    rest = [t for t in expression.terms if not _is_peak(t.of)]
    factor = sum((t.coefficient for t in expression.terms if _is_peak(t.of)), Fraction())
    return linear(where, expression.replace(terms=tuple(rest))), factor


def _is_peak(term: MetricTerm | CountTerm) -> bool:
    return isinstance(term, MetricTerm) and term.metric == "peak_memory" and term.at is None


def _against_zero(op: Comparator, form: Form) -> Formula:
    match op:
        case "<=":
            return at_most_zero(form)
        case "<":
            return below_zero(form)
        case ">=":
            return at_most_zero(form.scaled(Fraction(-1)))
        case ">":
            return below_zero(form.scaled(Fraction(-1)))
        case "==":
            return every((at_most_zero(form), at_most_zero(form.scaled(Fraction(-1)))))
        case "!=":
            return some((below_zero(form), below_zero(form.scaled(Fraction(-1)))))
        case _:
            assert_never(op)


def _largest_against_zero(op: Comparator, forms: Sequence[Form]) -> Formula:
    """Return ``max(forms) op 0``."""
    match op:
        case "<=" | "<":
            return every(_against_zero(op, form) for form in forms)
        case ">=" | ">":
            return some(_against_zero(op, form) for form in forms)
        case "==":
            reached = _largest_against_zero(">=", forms)
            return every((_largest_against_zero("<=", forms), reached))
        case "!=":
            return negated(_largest_against_zero("==", forms))
        case _:
            assert_never(op)


_MIRROR: dict[Comparator, Comparator] = {
    "<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "==", "!=": "!=",
}  # fmt: skip


def _flipped(op: Comparator, forms: Sequence[Form]) -> Formula:
    """Return ``min(forms) op 0``: the forms carry the maximum with a minus."""
    return _largest_against_zero(_MIRROR[op], [form.scaled(Fraction(-1)) for form in forms])


def _properties(where: Space, predicate: PropertyCompare, here: int | None) -> Formula:
    left, right = predicate.left, predicate.right
    if isinstance(left, PropertyValue) and isinstance(right, PropertyValue):
        return TRUE if related(predicate.op, left.value, right.value) else FALSE
    if isinstance(left, PropertyOf) and isinstance(right, PropertyValue):
        return _with_value(where, left, here, lambda own: related(predicate.op, own, right.value))
    if isinstance(left, PropertyValue) and isinstance(right, PropertyOf):
        return _with_value(where, right, here, lambda own: related(predicate.op, left.value, own))
    if isinstance(left, PropertyOf) and isinstance(right, PropertyOf):
        a, b = positions(where.known, left, here), positions(where.known, right, here)
        return _pairwise(where, predicate.op, (left.property, a), (right.property, b))
    message = "a property comparison without a property"
    raise TypeError(message)


def _with_value(
    where: Space, side: PropertyOf, here: int | None, holds: Callable[[int | Precision], bool]
) -> Formula:
    chosen = positions(where.known, side, here)
    return every(layer_where(where, side.property, i, holds) for i in chosen)


_Side = tuple[Property, tuple[int, ...]]


def _pairwise(where: Space, op: Comparator, left: _Side, right: _Side) -> Formula:
    """Return "every layer of the left compares so with every layer of the right".

    One formula a value instead of one a pair: no left layer has a value that a right layer refuses.
    """
    (name, firsts), (other, seconds) = left, right
    return every(
        some(
            (
                every(negated(having(where, name, i, value)) for i in firsts),
                every(
                    layer_where(where, other, k, lambda own, v=value: related(op, v, own))
                    for k in seconds
                ),
            )
        )
        for value in values_of(where, name, firsts)
    )
