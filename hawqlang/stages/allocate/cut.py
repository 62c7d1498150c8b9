"""Lagrangian cuts: bounds and refutations in exact integers. With Z3, this is the trusted code.

For rows ``r_k(x) ≤ cap_k``, integers ``D ≥ 0`` and ``L_k ≥ 0``, every point of cost ≤ U has

    Σ_v p_v(x_v) ≤ D·U + Σ_k L_k·cap_k         p = D·c + Σ_k L_k·r_k
    Σ_v rc_v(x_v) ≤ D·U - LB                   rc = p - min p,  LB = Σ_v min p_v - Σ_k L_k·cap_k

because it is a nonnegative combination of the rows and of ``c(x) ≤ U``. So ``LB / D`` bounds the
cost from below (``D > 0``), and ``LB > 0`` with ``D = 0`` refutes the rows (Farkas). Multipliers
come from a linear program in floats; whatever they are, the cut holds.

A *column* is a choice of a variable. Arrays of numbers hold Python integers (``dtype=object``), so
they are as long as they have to be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hawqlang.stages.allocate.problem import Coefs, Domain, Problem, Row, domain_of, mask_of

PRECISION_BITS = 30
"""Bits kept of the smallest multiplier that counts."""

MOST_BITS = 400
"""Bits of ``D`` at most."""

Whole = NDArray[np.object_]
"""Python integers."""

Mask = NDArray[np.bool_]
"""Which columns are allowed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """``Σ reduced ≤ D·U - lower`` for every point of cost at most U."""

    factor: int
    """``D``; 0 for a refutation that needs no cost."""
    multipliers: tuple[int, ...]
    """``L``, one a row."""
    reduced: Whole
    """``rc`` by column, at least 0."""
    lower: int
    """``LB``, in units of ``1 / D`` of the cost."""
    starts: NDArray[np.int64]
    """First column of each variable, and the number of columns."""

    def bound(self) -> int:
        """Return the lower bound of the cost: ``⌈LB / D⌉``."""
        return -(-self.lower // self.factor)

    def gap(self, cost: int) -> int:
        """Return the right side of the cut for points of cost at most ``cost``."""
        return self.factor * cost - self.lower

    def coefs(self) -> dict[int, tuple[int, ...]]:
        """Return ``rc`` by variable, without those where it is 0 throughout."""
        spans = pairwise(self.starts.tolist())
        own = (tuple(self.reduced[start:end].tolist()) for start, end in spans)
        return {v: values for v, values in enumerate(own) if any(values)}

    def within(self, allowed: Domain, cost: int) -> Domain | None:
        """Return the ``allowed`` choices that a point of cost at most ``cost`` can take.

        ``None``: there is no such point.
        """
        kept = self.kept(mask_of(self.starts, allowed), cost)
        return None if kept is None else domain_of(self.starts, kept)

    def kept(self, allowed: Mask, cost: int) -> Mask | None:
        """Return what ``within`` does, for the columns ``allowed``."""
        least = self._least(allowed)
        slack = self.gap(cost) - sum(least)
        if slack < 0:
            return None
        most = np.repeat(least + slack, np.diff(self.starts))
        return allowed & (self.reduced <= most).astype(np.bool_)

    def bound_over(self, allowed: Mask) -> int:
        """Return the lower bound of the cost over ``allowed`` columns (not of a refutation)."""
        return -(-(self.lower + sum(self._least(allowed))) // self.factor)

    def _least(self, allowed: Mask) -> Whole:
        """Return each variable's smallest ``rc`` among the columns allowed."""
        return _smallest(np.where(allowed, self.reduced, math.inf), self.starts)


class Columns:
    """A problem and its costs column by column, for any number of cuts."""

    def __init__(self, problem: Problem, cost: Coefs) -> None:
        self.starts = problem.starts()
        self._cost = np.zeros(int(self.starts[-1]), dtype=object)
        index, values = self._flat(cost)
        self._cost[index] = values
        self._rows: list[tuple[NDArray[np.int64], Whole, int]] = []
        self.add(problem.rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Take more rows in."""
        self._rows += [(*self._flat(row.coefs), row.cap) for row in rows]

    def cut(self, duals: Sequence[float]) -> Cut:
        """Return the cut of the LP's duals, in cost per unit of each row."""
        worth = [dual if math.isfinite(dual) and dual > 0 else 0.0 for dual in duals]
        smallest = min((dual for dual in worth if dual > 0), default=1.0)
        bits = min(MOST_BITS, max(20, PRECISION_BITS - math.frexp(smallest)[1]))
        return self._combined(1 << bits, [_rounded(dual, bits) for dual in worth])

    def refutation(self, ray: Sequence[float]) -> Cut | None:
        """Return the cut of a Farkas ray; whether it refutes is for ``within`` to say."""
        worth = [abs(one) if math.isfinite(one) else 0.0 for one in ray]
        largest = max(worth, default=0.0)
        if largest == 0:
            return None
        smallest = min(one for one in worth if one > largest * 2.0**-60)
        bits = min(MOST_BITS, 40 - math.frexp(smallest)[1])
        return self._combined(0, [_rounded(one, bits) for one in worth])

    def _combined(self, factor: int, multipliers: Sequence[int]) -> Cut:
        mixed = self._cost * factor
        right = 0
        for (index, values, cap), times in zip(self._rows, multipliers, strict=True):
            if times:
                right += times * cap
                mixed[index] += values * times
        least = _smallest(mixed, self.starts)
        reduced = mixed - np.repeat(least, np.diff(self.starts))
        return Cut(factor, tuple(multipliers), reduced, sum(least) - right, self.starts)

    def _flat(self, coefs: Coefs) -> tuple[NDArray[np.int64], Whole]:
        starts = self.starts.tolist()
        index = [start + k for v in coefs for k, start in enumerate([starts[v]] * len(coefs[v]))]
        values = [one for own in coefs.values() for one in own]
        return np.array(index, dtype=np.int64), np.array(values, dtype=object)


def cut(problem: Problem, cost: Coefs, duals: Sequence[float]) -> Cut:
    """Return the cut of the LP's duals, in cost per unit of each row."""
    return Columns(problem, cost).cut(duals)


def refutation(problem: Problem, ray: Sequence[float]) -> Cut | None:
    """Return the cut of a Farkas ray; whether it refutes is for ``Cut.within`` to say."""
    return Columns(problem, {}).refutation(ray)


def _rounded(number: float, bits: int) -> int:
    """Return ``number · 2^bits`` to the nearest integer, exactly."""
    if number == 0:
        return 0
    numerator, denominator = number.as_integer_ratio()
    if bits >= 0:
        return (2 * numerator * (1 << bits) + denominator) // (2 * denominator)
    return (2 * numerator + (denominator << -bits)) // (2 * (denominator << -bits))


def _smallest(numbers: Whole, starts: NDArray[np.int64]) -> Whole:
    """Return the smallest number of each variable's columns."""
    if len(starts) == 1:
        return numbers
    return np.minimum.reduceat(numbers, starts[:-1])
