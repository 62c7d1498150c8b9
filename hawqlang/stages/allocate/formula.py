"""Formulas over choices, in negation normal form, with exact linear forms as their atoms.

``Member(v, mask)`` says that variable ``v`` takes a choice of ``mask``; ``Below(form)`` says
``form ≤ 0`` for a form of integers. Negation stays inside the language: the complement of a mask,
and ``¬(f ≤ 0)`` is ``1 ≤ f`` because ``f`` is an integer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Form:
    """``constant + Σ parts[v][choice of v]``, exact."""

    constant: Fraction = Fraction(0)
    parts: Mapping[int, tuple[Fraction, ...]] = field(
        default_factory=dict[int, tuple[Fraction, ...]]
    )

    def __add__(self, other: Form) -> Form:
        return total((self, other))

    def scaled(self, factor: Fraction) -> Form:
        """Return the form times a number."""
        if factor == 0:
            return Form()
        if factor == 1:
            return self
        parts = {v: tuple(factor * one for one in values) for v, values in self.parts.items()}
        return Form(factor * self.constant, parts)

    def at(self, point: Sequence[int]) -> Fraction:
        """Return its value at a point."""
        return self.constant + sum(values[point[v]] for v, values in self.parts.items())

    def lowest(self) -> Fraction:
        """Return the smallest value it could take."""
        return self.constant + sum(min(values) for values in self.parts.values())

    def denominator(self) -> int:
        """Return the smallest factor that makes every number of the form an integer."""
        numbers = [self.constant, *(one for values in self.parts.values() for one in values)]
        return math.lcm(*(one.denominator for one in numbers))

    def integral(self) -> Whole:
        """Return the smallest multiple of it in which every number is an integer."""
        factor = self.denominator()

        def times(one: Fraction) -> int:
            return one.numerator * (factor // one.denominator)

        parts = {v: tuple(map(times, values)) for v, values in self.parts.items()}
        return Whole(times(self.constant), parts)


@dataclass(frozen=True, slots=True)
class Whole:
    """``constant + Σ parts[v][choice of v]`` in integers."""

    constant: int
    parts: Mapping[int, tuple[int, ...]]

    def at(self, point: Sequence[int]) -> int:
        """Return its value at a point."""
        return self.constant + sum(values[point[v]] for v, values in self.parts.items())

    def range(self) -> tuple[int, int]:
        """Return the smallest and the largest value it could take."""
        low = self.constant + sum(min(values) for values in self.parts.values())
        return low, self.constant + sum(max(values) for values in self.parts.values())

    def plus(self, number: int) -> Whole:
        """Return the form and a number more."""
        return Whole(self.constant + number, self.parts)

    def minus(self) -> Whole:
        """Return the form with every sign turned."""
        parts = {v: tuple(-one for one in values) for v, values in self.parts.items()}
        return Whole(-self.constant, parts)


def total(forms: Iterable[Form]) -> Form:
    """Return the sum of forms."""
    constant = Fraction(0)
    parts: dict[int, tuple[Fraction, ...]] = {}
    for form in forms:
        constant += form.constant
        for v, values in form.parts.items():
            mine = parts.get(v)
            if mine is not None:
                values = tuple(a + b for a, b in zip(mine, values, strict=True))  # noqa: PLW2901
            parts[v] = values
    return Form(constant, parts)


@dataclass(frozen=True, slots=True)
class Fixed:
    """True or false whatever the choices."""

    value: bool


@dataclass(frozen=True, slots=True)
class Member:
    """Variable ``v`` takes a choice of ``mask``."""

    v: int
    mask: frozenset[int]
    size: int
    """How many choices the variable has."""


@dataclass(frozen=True, slots=True)
class Below:
    """``form ≤ 0``."""

    form: Whole


@dataclass(frozen=True, slots=True)
class Every:
    """All of them."""

    items: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of them."""

    items: tuple[Formula, ...]


Formula = Fixed | Member | Below | Every | Some

TRUE = Fixed(value=True)
FALSE = Fixed(value=False)


def member(v: int, mask: Iterable[int], size: int) -> Formula:
    """Return ``v ∈ mask``, decided where the mask holds nothing or everything."""
    chosen = frozenset(mask)
    if not chosen:
        return FALSE
    return TRUE if len(chosen) == size else Member(v, chosen, size)


def at_most_zero(form: Form) -> Formula:
    """Return ``form ≤ 0``, decided where its range decides it."""
    return _below(form.integral())


def below_zero(form: Form) -> Formula:
    """Return ``form < 0``: over integers ``form + 1 ≤ 0``."""
    return _below(form.integral().plus(1))


def _below(whole: Whole) -> Formula:
    low, high = whole.range()
    if high <= 0:
        return TRUE
    return FALSE if low > 0 else Below(whole)


def every(items: Iterable[Formula]) -> Formula:
    """Return the conjunction; memberships of one variable become one."""
    flat: list[Formula] = []
    for item in items:
        if item == FALSE:
            return FALSE
        flat += item.items if isinstance(item, Every) else [] if item == TRUE else [item]
    merged = _intersected(flat)
    if FALSE in merged:
        return FALSE
    if not merged:
        return TRUE
    return merged[0] if len(merged) == 1 else Every(tuple(merged))


def some(items: Iterable[Formula]) -> Formula:
    """Return the disjunction; memberships of one variable become one."""
    return negated(every([negated(item) for item in items]))


def negated(formula: Formula) -> Formula:
    """Return what is true exactly where ``formula`` is not."""
    match formula:
        case Fixed():
            return FALSE if formula.value else TRUE
        case Member():
            rest = frozenset(range(formula.size)) - formula.mask
            return Member(formula.v, rest, formula.size)
        case Below():
            return Below(formula.form.minus().plus(1))
        case Every():
            return Some(tuple(negated(item) for item in formula.items))
        case Some():
            return Every(tuple(negated(item) for item in formula.items))
        case _:
            assert_never(formula)


def true_at(formula: Formula, point: Sequence[int]) -> bool:
    """Return whether the formula holds at a point."""
    match formula:
        case Fixed():
            return formula.value
        case Member():
            return point[formula.v] in formula.mask
        case Below():
            return formula.form.at(point) <= 0
        case Every():
            return all(true_at(item, point) for item in formula.items)
        case Some():
            return any(true_at(item, point) for item in formula.items)
        case _:
            assert_never(formula)


def _intersected(items: list[Formula]) -> list[Formula]:
    masks: dict[int, frozenset[int]] = {}
    for item in items:
        if isinstance(item, Member):
            masks[item.v] = masks.get(item.v, item.mask) & item.mask
    out: list[Formula] = []
    seen: set[int] = set()
    for item in items:
        if not isinstance(item, Member):
            out.append(item)
        elif item.v not in seen:
            seen.add(item.v)
            out.append(member(item.v, masks[item.v], item.size))
    return out
