"""Linear programs through HiGHS. Nothing it says is believed: all of it is checked exactly.

Columns are the choices of a problem's variables, each from 0 to 1; a variable's columns sum to 1.
Numbers are scaled to floats row by row; duals come back in the units of the exact rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hawqlang.stages.allocate.library import highspy
from hawqlang.stages.allocate.problem import Coefs, Problem, Row

Floats = NDArray[np.float64]

Support = tuple[tuple[int, float], ...]
"""The choices of a variable that an LP solution gives weight to, with that weight."""

TINY = 1e-9
"""A weight up to this much is none."""

HUGE = 2**1000
"""Numbers beyond are taken for this."""

COST_SPAN = 1e6
"""The objective is scaled so that it spans this much."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What the solver says."""

    status: Literal["optimal", "infeasible", "failed"]
    x: Floats
    """One value a column; empty unless optimal."""
    multipliers: tuple[float, ...]
    """Per row, at least 0: the duals (in cost per unit of the row), or a ray that refutes."""


class Relaxation:
    """The LP relaxation of a problem, kept warm while choices are switched off and on."""

    def __init__(self, problem: Problem, cost: Coefs) -> None:
        self.problem = problem
        self.offsets = problem.starts()
        self._owner = np.repeat(np.arange(len(problem.sizes)), problem.sizes)
        self._choice = np.arange(len(self._owner)) - self.offsets[self._owner]
        self.costs, self._cost_scale = _objective(problem, cost, self.offsets)
        self._row_scale = np.array([_scale(row.coefs, row.cap) for row in problem.rows])
        self._first = len(problem.rows)
        self._upper = np.ones(len(self.costs))
        self._highs = start(self._model(integer=False))
        self._highs.setOptionValue("presolve", "off")

    def forbid(self, allowed: NDArray[np.bool_]) -> None:
        """Let only the columns ``allowed`` be above 0."""
        upper = allowed.astype(np.float64)
        changed = np.nonzero(upper != self._upper)[0].astype(np.int32)
        if len(changed):
            lower = np.zeros(len(changed))
            self._highs.changeColsBounds(len(changed), changed, lower, upper[changed])
            self._upper = upper

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows to the problem and to the warm solver."""
        for row in rows:
            scale = _scale(row.coefs, row.cap)
            index, value = _columns(row.coefs, self.offsets.tolist(), scale)
            columns = np.array(index, dtype=np.int32)
            cap, infinity = _ratio(row.cap, scale), float(highspy().kHighsInf)
            self._highs.addRow(-infinity, cap, len(index), columns, np.array(value))
            self._row_scale = np.append(self._row_scale, scale)
        self.problem = self.problem.adding(*rows)

    def solve(self) -> Solved:
        """Return the optimum of the relaxation, or a refutation."""
        known = highspy().HighsModelStatus
        self._highs.run()
        status = self._highs.getModelStatus()
        if status not in {known.kOptimal, known.kInfeasible}:  # lost its way from a warm start
            self._highs.clearSolver()
            self._highs.run()
            status = self._highs.getModelStatus()
        if status == known.kOptimal:
            solution = self._highs.getSolution()
            duals = np.maximum(0.0, -self._of_rows(solution.row_dual))
            x = np.asarray(solution.col_value, dtype=np.float64)
            duals = duals * self._row_scale * self._cost_scale
            return Solved("optimal", x, tuple(duals.tolist()))
        if status == known.kInfeasible:
            _, has_ray, values = self._highs.getDualRay()
            ray = np.abs(self._of_rows(values)) if has_ray else np.zeros(len(self._row_scale))
            ray = ray * self._row_scale
            return Solved("infeasible", np.empty(0), tuple(ray.tolist()))
        return Solved("failed", np.empty(0), (0.0,) * len(self._row_scale))

    def _of_rows(self, values: Any) -> Floats:
        """Return what concerns the problem's rows: first ones, then the variables', then added."""
        array = np.asarray(values, dtype=np.float64)
        start = self._first + len(self.problem.sizes)
        return np.concatenate((array[: self._first], array[start:]))

    def supports(self, x: Floats) -> list[Support]:
        """Return what ``x`` gives weight to, variable by variable."""
        found: list[list[tuple[int, float]]] = [[] for _ in self.problem.sizes]
        held = np.flatnonzero(x > TINY)
        for v, choice, part in zip(
            self._owner[held].tolist(), self._choice[held].tolist(), x[held].tolist(), strict=True
        ):
            found[v].append((choice, part))
        return [tuple(own) for own in found]

    def choices(self, x: Floats) -> tuple[int, ...]:
        """Return the choice of each variable that weighs most in ``x``."""
        grid = np.full((len(self.problem.sizes), max(self.problem.sizes, default=1)), -1.0)
        grid[self._owner, self._choice] = x
        return tuple(grid.argmax(axis=1).tolist())

    def best_integer(self, nodes: int) -> tuple[int, ...] | None:
        """Return the point that the MIP solver finds best within a number of nodes."""
        highs = start(self._model(integer=True))
        highs.setOptionValue("random_seed", 0)
        highs.setOptionValue("mip_rel_gap", 0.0)  # HiGHS stops at 1e-4 on its own
        highs.setOptionValue("mip_abs_gap", 0.5 / self._cost_scale)
        highs.setOptionValue("mip_max_nodes", nodes)
        highs.setOptionValue("mip_feasibility_tolerance", 1e-9)
        highs.run()
        values = np.asarray(highs.getSolution().col_value, dtype=np.float64)
        if not len(values) or not highs.getSolution().value_valid:
            return None
        return self.choices(values)

    def _model(self, *, integer: bool) -> Any:
        library = highspy()
        model = library.HighsLp()
        rows, sizes = self.problem.rows, self.problem.sizes
        starts, index, value = _sparse(self.problem, self.offsets, self._row_scale)
        model.num_col_, model.num_row_ = len(self.costs), len(rows) + len(sizes)
        model.col_cost_ = self.costs
        model.col_lower_, model.col_upper_ = np.zeros(len(self.costs)), np.ones(len(self.costs))
        caps = [_ratio(row.cap, scale) for row, scale in zip(rows, self._row_scale, strict=True)]
        ones = np.ones(len(sizes))
        model.row_lower_ = np.concatenate((np.full(len(rows), -float(library.kHighsInf)), ones))
        model.row_upper_ = np.concatenate((np.array(caps, dtype=np.float64), ones))
        model.a_matrix_.format_ = library.MatrixFormat.kRowwise
        model.a_matrix_.start_ = starts
        model.a_matrix_.index_ = index
        model.a_matrix_.value_ = value
        if integer:
            model.integrality_ = [library.HighsVarType.kInteger] * len(self.costs)
        return model


def start(model: Any) -> Any:
    """Return the solver with a model, silent and on one thread."""
    highs = highspy().Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.passModel(model)
    return highs


def _objective(problem: Problem, cost: Coefs, offsets: NDArray[np.int64]) -> tuple[Floats, float]:
    span = sum(max(values) - min(values) for values in cost.values())
    scale = max(1.0, _float(span) / COST_SPAN)
    column = np.zeros(int(offsets[-1]))
    for v, values in cost.items():
        least = min(values)
        column[offsets[v] : offsets[v + 1]] = [_float(one - least) / scale for one in values]
    return column, scale


def _scale(coefs: Coefs, cap: int) -> float:
    """Return what a row is multiplied by: its largest number becomes 100."""
    largest = max([abs(cap), 1, *(abs(one) for values in coefs.values() for one in values)])
    return 100 / _float(largest) if largest > 1 else 1.0


def _ratio(number: int, scale: float) -> float:
    return _float(number) * scale


def _float(number: int) -> float:
    """Return the number, or the largest there is: what floats cannot say is left to the integers."""
    return float(max(-HUGE, min(HUGE, number)))


def _columns(coefs: Coefs, offsets: Sequence[int], scale: float) -> tuple[list[int], list[float]]:
    index, value = list[int](), list[float]()
    for v, values in coefs.items():
        start = offsets[v]
        for choice, one in enumerate(values):
            if one:
                index.append(start + choice)
                value.append(_ratio(one, scale))
    return index, value


def _sparse(
    problem: Problem, offsets: NDArray[np.int64], scales: Sequence[float] | Floats
) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    starts, index, value = [0], list[int](), list[float]()
    firsts = offsets.tolist()
    for row, scale in zip(problem.rows, scales, strict=True):
        columns, numbers = _columns(row.coefs, firsts, float(scale))
        index += columns
        value += numbers
        starts.append(len(index))
    held = len(index)
    index += range(firsts[-1])
    value += [1.0] * firsts[-1]
    starts += [held + first for first in firsts[1:]]
    return (
        np.array(starts, dtype=np.int32),
        np.array(index, dtype=np.int32),
        np.array(value, dtype=np.float64),
    )
