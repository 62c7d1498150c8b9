"""The choices of the layers, and formulas over them: what ``encode`` builds the meaning of constraints from.

The variables 0 … n-1 are the layers, each choosing among its candidates. Further ones are flags,
whose choices mean formulas of which exactly one is true: whether a condition holds, or at which
precision two neighbours agree, if they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import assert_never

from hawqlang.base import Precision
from hawqlang.ir.spec import Property
from hawqlang.stages.allocate.formula import (
    TRUE,
    Below,
    Every,
    Fixed,
    Form,
    Formula,
    Member,
    Some,
    every,
    member,
    negated,
    some,
    true_at,
)
from hawqlang.stages.allocate.problem import Row
from hawqlang.stages.candidates.metrics import Facts
from hawqlang.stages.candidates.predicates import measure


@dataclass(frozen=True, slots=True)
class Space:
    """The choices of every layer, and the flags that constraints ask for as they are encoded."""

    known: Facts
    choices: tuple[tuple[Precision, ...], ...]
    """Per layer, its candidates in the order written."""
    flags: dict[int, tuple[Formula, ...]] = field(default_factory=dict[int, tuple[Formula, ...]])
    """What each choice of a flag means, in terms of layers and of earlier flags only."""
    meanings: dict[int, tuple[Row, ...]] = field(default_factory=dict[int, tuple[Row, ...]])
    """The rows that give each flag its meaning, as far as they were needed."""
    _named: dict[object, int] = field(default_factory=dict[object, int])

    def size(self, v: int) -> int:
        """Return how many choices a layer or a flag has."""
        return len(self.choices[v]) if v < len(self.choices) else len(self.flags[v])

    def truth(self, name: object, meaning: Callable[[], Formula]) -> int:
        """Return the flag called ``name``, whose choice 1 means a formula and 0 its negation."""

        def both() -> tuple[Formula, Formula]:
            formula = meaning()
            return negated(formula), formula

        return self.flag(name, both)

    def flag(self, name: object, meaning: Callable[[], tuple[Formula, ...]]) -> int:
        """Return the flag called ``name``, made on first use."""
        if name not in self._named:
            formulas = meaning()
            self._named[name] = len(self.choices) + len(self.flags)
            self.flags[self._named[name]] = formulas
        return self._named[name]

    def complete(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return a point of all variables: the layers' choices with every flag as they make it."""
        point = list(choices)
        for formulas in self.flags.values():
            point.append(next(k for k, one in enumerate(formulas) if true_at(one, point)))
        return tuple(point)

    def allocation(self, point: Sequence[int]) -> tuple[Precision, ...]:
        """Return the precision of every layer at a point."""
        return tuple(own[choice] for own, choice in zip(self.choices, point, strict=False))


def space(known: Facts) -> Space:
    """Return the choices that the candidates leave."""
    return Space(known, tuple(layer.precisions() for layer in known.candidates.layers))


def not_below(where: Space, allocation: Sequence[Precision]) -> Formula:
    """Return "some layer is wider somewhere than in ``allocation``"."""
    wider = [
        [p.wbits > cap.wbits or p.abits > cap.abits for p in choices]
        for choices, cap in zip(where.choices, allocation, strict=True)
    ]
    return some(
        member(i, (j for j, yes in enumerate(row) if yes), len(row)) for i, row in enumerate(wider)
    )


def all_equal(where: Space, name: Property, layers: Iterable[int]) -> Formula:
    """Return "the layers have one and the same property"."""
    group = tuple(dict.fromkeys(layers))
    if len(group) < 2:
        return TRUE
    values = values_of(where, name, group)
    first, *rest = group
    links: list[Formula] = []
    for value in values:
        here = having(where, name, first, value)
        for other in rest:
            there = having(where, name, other, value)
            links += (some((negated(here), there)), some((here, negated(there))))
    return every(links)


def indicator(where: Space, name: object, formula: Formula) -> Form:
    """Return the form that is 1 where the formula is true and 0 where it is not."""
    match formula:
        case Fixed():
            return Form(Fraction(formula.value))
        case Member():
            ones = (Fraction(choice in formula.mask) for choice in range(formula.size))
            return Form(parts={formula.v: tuple(ones)})
        case Below() | Every() | Some():
            flag = where.truth(name, lambda: formula)
            return Form(parts={flag: (Fraction(0), Fraction(1))})
        case _:
            assert_never(formula)


def layer_where(
    where: Space, name: Property, layer: int, holds: Callable[[int | Precision], bool]
) -> Formula:
    """Return "the layer has a property of which ``holds`` is true"."""
    own = where.choices[layer]
    return member(layer, (j for j, p in enumerate(own) if holds(measure(name, p))), len(own))


def having(where: Space, name: Property, layer: int, value: int | Precision) -> Formula:
    """Return "the layer's property is ``value``"."""
    return layer_where(where, name, layer, lambda own: own == value)


def values_of(where: Space, name: Property, layers: Iterable[int]) -> list[int | Precision]:
    """Return the values that a property of some layers may take, in the order in which they are met."""
    values: list[int | Precision] = []
    for layer in layers:
        for precision in where.choices[layer]:
            value = measure(name, precision)
            if value not in values:
                values.append(value)
    return values
