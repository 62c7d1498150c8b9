"""A good point out of an LP solution: repair what it breaks, then take what is free to take.

Floats throughout, because the result is only a proposal: it is checked exactly by who asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hawqlang.stages.allocate.problem import Coefs, Point, Problem, Row

LARGEST = 4_000_000
"""Numbers in the dense table of rows; problems beyond are left to other means."""

Floats = NDArray[np.float64]


class Rounding:
    """The rows of a problem as a dense table ``rows x variables x choices``, made once."""

    def __init__(self, problem: Problem, cost: Coefs) -> None:
        width = max(problem.sizes)
        rows = [row for row in problem.rows if not row.implied]
        count = len(problem.sizes)
        self._dense: _Dense | None = None
        if len(rows) * count * width <= LARGEST:
            self._dense = _dense(problem, rows, cost, width)

    def near(self, near: Sequence[int]) -> Point | None:
        """Return a point near ``near`` that should meet the rows; ``None``: none was found."""
        if self._dense is None:
            return None
        point = np.array(near)
        if not _repair(self._dense, point):
            return None
        _improve(self._dense, point)
        return tuple(int(choice) for choice in point)


@dataclass(slots=True)
class _Dense:
    """Rows, their caps, and costs; choices that do not exist cost inf."""

    rows: Floats
    caps: Floats
    costs: Floats


def _dense(problem: Problem, rows: Sequence[Row], cost: Coefs, width: int) -> _Dense:
    count = len(problem.sizes)
    table = np.zeros((len(rows), count, width))
    caps = np.zeros(len(rows))
    for k, row in enumerate(rows):
        largest = max([abs(row.cap), 1, *(abs(a) for one in row.coefs.values() for a in one)])
        caps[k] = row.cap / largest
        for v, values in row.coefs.items():
            table[k, v, : len(values)] = [one / largest for one in values]
    costs = np.full((count, width), np.inf)
    span = max(1, sum(max(values) for values in cost.values()))
    for v, size in enumerate(problem.sizes):
        costs[v, :size] = [one / span for one in cost.get(v, (0,) * size)]
    return _Dense(table, caps, costs)


def _repair(dense: _Dense, point: NDArray[np.int64]) -> bool:
    """Change choices, the cheapest per unit of violation first, until every row holds."""
    every = np.arange(len(point))
    for _ in range(3 * len(point)):
        used = dense.rows[:, every, point].sum(axis=1)
        broken = np.maximum(0.0, used - dense.caps)
        if not broken.any():
            return True
        moves = dense.rows - dense.rows[:, every, point][:, :, None]
        after = np.maximum(0.0, (used - dense.caps)[:, None, None] + moves).sum(axis=0)
        healed = broken.sum() - after
        dearer = dense.costs - dense.costs[every, point][:, None]
        usable = (healed > 1e-15) & np.isfinite(dearer)
        if not usable.any():
            return False
        ratio = np.where(usable, np.maximum(dearer, 1e-12) / np.where(usable, healed, 1.0), np.inf)
        v, choice = np.unravel_index(int(ratio.argmin()), ratio.shape)
        point[v] = choice
    return False


def _improve(dense: _Dense, point: NDArray[np.int64]) -> None:
    """Change single choices, the greatest saving first, as long as every row holds."""
    every = np.arange(len(point))
    for _ in range(3 * len(point)):
        used = dense.rows[:, every, point].sum(axis=1)
        moves = dense.rows - dense.rows[:, every, point][:, :, None]
        fits = (used[:, None, None] + moves <= dense.caps[:, None, None]).all(axis=0)
        dearer = np.where(fits, dense.costs - dense.costs[every, point][:, None], np.inf)
        v, choice = np.unravel_index(int(dearer.argmin()), dearer.shape)
        if dearer[v, choice] >= -1e-15:
            return
        point[v] = choice
