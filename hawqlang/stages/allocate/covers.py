"""Cover inequalities: integer consequences of one row that its LP relaxation misses.

For a row ``Σ_v a_v(x_v) ≤ cap`` with weights from 0 up, thresholds ``t_v`` on a set C with
``Σ_C t_v > cap`` cannot all be reached. With ``μ_h`` the sum of the h largest of them,

    Σ_{v in C} [a_v(x_v) ≥ t_v]  +  Σ_{v not in C} max{h : a_v(x_v) ≥ μ_h}  ≤  |C| - 1

holds for every point of the row (Balas 1975): ``μ`` is subadditive, so whatever reaches ``|C|`` on
the left weighs at least ``Σ_C t_v``. Which cover to take is read off an LP solution in floats; that
it is one is checked in exact integers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from hawqlang.stages.allocate.highs import Support
from hawqlang.stages.allocate.problem import Row

LARGEST = 2**1000
"""Rows of larger numbers are left alone: floats cannot rank their choices."""

VIOLATION = 1e-4
"""By how much an LP solution must break an inequality for it to be worth having."""


@dataclass(frozen=True, slots=True)
class Knapsack:
    """A row with every variable's weights from 0 up."""

    name: str
    weights: dict[int, tuple[int, ...]]
    cap: int


@dataclass(frozen=True, slots=True)
class _Step:
    """A threshold of a variable, and how much of the LP solution lies below it."""

    v: int
    weight: int
    loss: float


def knapsack(row: Row) -> Knapsack:
    """Return a row with its weights shifted to start at 0; what breaks it alone weighs ``cap + 1``."""
    least = {v: min(values) for v, values in row.coefs.items()}
    cap = row.cap - sum(least.values())
    most = max(cap, 0) + 1
    weights = {
        v: tuple([min(a - least[v], most) for a in values]) for v, values in row.coefs.items()
    }
    return Knapsack(row.name, weights, cap)


def cover(source: Knapsack, x: Sequence[Support]) -> Row | None:
    """Return a cover inequality that an LP solution breaks, if one is found."""
    thresholds = _thresholds(source, x) if source.cap < LARGEST else None
    if thresholds is None:
        return None
    found = inequality(source, thresholds)
    left = sum(values[k] * part for v, values in found.coefs.items() for k, part in x[v])
    return found if left > found.cap + VIOLATION else None


def inequality(source: Knapsack, thresholds: dict[int, int]) -> Row:
    """Return the inequality of a cover: thresholds that sum to more than the cap.

    Raises:
        ValueError: they do not.
    """
    if sum(thresholds.values()) <= source.cap:
        message = "not a cover"
        raise ValueError(message)
    heights = list(accumulate(sorted(thresholds.values(), reverse=True)))
    coefs: dict[int, tuple[int, ...]] = {}
    for v, values in source.weights.items():
        if v in thresholds:
            lifted = tuple(int(a >= thresholds[v]) for a in values)
        else:
            lifted = tuple(bisect_right(heights, a) for a in values)
        if any(lifted):
            coefs[v] = lifted
    return Row(source.name, coefs, len(thresholds) - 1, implied=True)


def _thresholds(source: Knapsack, x: Sequence[Support]) -> dict[int, int] | None:
    """Return a cover that loses little of ``x``: thresholds the LP solution nearly reaches."""
    cap = source.cap
    levels = {v: _levels(v, values, x[v]) for v, values in source.weights.items()}
    chosen = {v: steps[0] for v, steps in levels.items()}
    total = sum(step.weight for step in chosen.values())
    split = [steps for steps in levels.values() if len(steps) > 1]
    while total <= cap:
        raises = [
            ((step.loss - now.loss) / (step.weight - now.weight), step.v, step)
            for steps in split
            for step in steps
            if step.weight > (now := chosen[step.v]).weight
        ]
        if not raises:
            return None
        step = min(raises, key=lambda one: one[:2])[2]
        total += step.weight - chosen[step.v].weight
        chosen[step.v] = step
    if sum(step.loss for step in chosen.values()) >= 1:
        return None
    # Members that are not needed only weaken the inequality: drop the most costly ones first.
    for step in sorted(chosen.values(), key=lambda step: (-step.loss, step.weight, step.v)):
        if total - step.weight > cap:
            total -= step.weight
            del chosen[step.v]
    return {v: step.weight for v, step in chosen.items() if step.weight > 0}


def _levels(v: int, values: tuple[int, ...], x: Support) -> list[_Step]:
    """Return a variable's thresholds, lowest first, that some part of ``x`` reaches."""
    if len(x) == 1:
        return [_Step(v, values[x[0][0]], 0.0)]
    steps: list[_Step] = []
    below = 0.0
    for weight, part in sorted((values[k], part) for k, part in x):
        if not steps or steps[-1].weight != weight:
            steps.append(_Step(v, weight, below))
        below += part
    return steps
