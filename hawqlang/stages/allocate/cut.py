"""Lagrangian cuts: bounds and refutations in exact integers. With Z3, this is the trusted code.

For rows ``r_k(x) ≤ cap_k``, integers ``D ≥ 0`` and ``L_k ≥ 0``, every point of cost ≤ U has

    Σ_v p_v(x_v) ≤ D·U + Σ_k L_k·cap_k         p = D·c + Σ_k L_k·r_k
    Σ_v rc_v(x_v) ≤ D·U - LB                   rc = p - min p,  LB = Σ_v min p_v - Σ_k L_k·cap_k

because it is a nonnegative combination of the rows and of ``c(x) ≤ U``. So ``LB / D`` bounds the
cost from below (``D > 0``), and ``LB > 0`` with ``D = 0`` refutes the rows (Farkas). Multipliers
come from a linear program in floats; whatever they are, the cut holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hawqlang.stages.allocate.problem import Coefs, Domain, Problem

PRECISION_BITS = 30
"""Bits kept of the smallest multiplier that counts."""

MOST_BITS = 400
"""Bits of ``D`` at most."""


@dataclass(frozen=True, slots=True)
class Cut:
    """``Σ reduced ≤ D·U - lower`` for every point of cost at most U."""

    factor: int
    """``D``; 0 for a refutation that needs no cost."""
    multipliers: tuple[int, ...]
    """``L``, one a row."""
    reduced: tuple[tuple[int, ...], ...]
    """``rc``: per variable and choice, at least 0."""
    lower: int
    """``LB``, in units of ``1 / D`` of the cost."""

    def bound(self) -> int:
        """Return the lower bound of the cost: ``⌈LB / D⌉``."""
        return -(-self.lower // self.factor)

    def gap(self, cost: int) -> int:
        """Return the right side of the cut for points of cost at most ``cost``."""
        return self.factor * cost - self.lower

    def within(self, allowed: Domain, cost: int) -> Domain | None:
        """Return the ``allowed`` choices that a point of cost at most ``cost`` can take.

        ``None``: there is no such point.
        """
        pairs = tuple(zip(self.reduced, allowed, strict=True))
        least = [min(values[choice] for choice in choices) for values, choices in pairs]
        slack = self.gap(cost) - sum(least)
        if slack < 0:
            return None
        return tuple(
            tuple(choice for choice in choices if values[choice] - low <= slack)
            for (values, choices), low in zip(pairs, least, strict=True)
        )

    def bound_over(self, allowed: Domain) -> int:
        """Return the lower bound of the cost over ``allowed`` choices (not of a refutation)."""
        pairs = zip(self.reduced, allowed, strict=True)
        least = sum(min(values[choice] for choice in choices) for values, choices in pairs)
        return -(-(self.lower + least) // self.factor)


def cut(problem: Problem, cost: Coefs, duals: Sequence[float]) -> Cut:
    """Return the cut of the LP's duals, in cost per unit of each row."""
    worth = [dual if math.isfinite(dual) and dual > 0 else 0.0 for dual in duals]
    smallest = min((dual for dual in worth if dual > 0), default=1.0)
    bits = min(MOST_BITS, max(20, PRECISION_BITS - math.frexp(smallest)[1]))
    factor = 1 << bits
    return _combine(problem, cost, factor, [_rounded(dual, bits) for dual in worth])


def refutation(problem: Problem, ray: Sequence[float]) -> Cut | None:
    """Return the cut of a Farkas ray; whether it refutes is for ``Cut.within`` to say."""
    worth = [abs(one) if math.isfinite(one) else 0.0 for one in ray]
    largest = max(worth, default=0.0)
    if largest == 0:
        return None
    smallest = min(one for one in worth if one > largest * 2.0**-60)
    bits = min(MOST_BITS, 40 - math.frexp(smallest)[1])
    return _combine(problem, {}, 0, [_rounded(one, bits) for one in worth])


def _rounded(number: float, bits: int) -> int:
    """Return ``number · 2^bits`` to the nearest integer, exactly."""
    numerator, denominator = number.as_integer_ratio()
    if bits >= 0:
        return (2 * numerator * (1 << bits) + denominator) // (2 * denominator)
    return (2 * numerator + (denominator << -bits)) // (2 * (denominator << -bits))


def _combine(problem: Problem, cost: Coefs, factor: int, multipliers: Sequence[int]) -> Cut:
    mixed = [[0] * size for size in problem.sizes]
    for v, values in cost.items():
        mixed[v] = [factor * one for one in values]
    right = 0
    for row, times in zip(problem.rows, multipliers, strict=True):
        if times:
            right += times * row.cap
            for v, values in row.coefs.items():
                own = mixed[v]
                for choice, one in enumerate(values):
                    own[choice] += times * one
    least = [min(values) for values in mixed]
    reduced = tuple(
        tuple(one - low for one in values) for values, low in zip(mixed, least, strict=True)
    )
    return Cut(factor, tuple(multipliers), reduced, sum(least) - right)
