"""The exact front of size and perturbation beside HiGHS at gap 0 on the same budgets, in the same run.

For every network the processor time of the whole front is taken: every point proven, ties between
equal points settled. HiGHS solves the same budgets, each twice (perturbation, then size among the
equal), one thread, and proves nothing in exact numbers; `same` says whether both found the same
values. Points of HiGHS that break a row in exact integers are counted as `refused`.

    python benchmarks/pareto.py [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction

from allocation_instances import instance
from common import show, write_results

from hawqlang.ir.front import Corner
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build, Goal, Metric, MetricTerm
from hawqlang.stages.allocate.front import Budget, Tradeoff, solve, tradeoff, walk
from hawqlang.stages.allocate.goals import Goal as Aim
from hawqlang.stages.allocate.goals import within
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.rows import Merged
from hawqlang.stages.candidates import candidates

HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Case:
    """One front of the table."""

    name: str
    build: Build
    table: LayerTable
    steps: int = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """One front, found twice."""

    name: str
    layers: int
    steps: int
    points: int
    proven: int
    seconds: float
    slowest_point: float
    highs_seconds: float
    highs_refused: int
    same: bool


def cases(*, quick: bool) -> Iterator[Case]:
    """Yield fronts with ties alone, and with work and latency limited too."""
    networks = ("resnet50",) if quick else ("resnet50", "mobilenetv2", "resnet101", "vit_b")
    for network in networks:
        for seed in range(1 if quick or network != "resnet50" else 3):
            build, table = instance(network, 5, HALF, seed)
            for kept in (("tied",), ("tied", "bops", "latency")):
                limits = tuple(one for one in build.constraints if one.name in kept)
                name = f"{network}, 5 candidates, {' '.join(kept)}, seed {seed}"
                yield Case(name, build.replace(constraints=limits), table)
                if name == "resnet50, 5 candidates, tied, seed 0" and not quick:
                    yield Case(name, build.replace(constraints=limits), table, 1000)


def measure(case: Case) -> Measured:
    """Return the times and the fronts of both solvers."""
    offered = candidates(case.build, case.table, None)
    aims = (_goal("size"), _goal("perturbation"))
    start = time.process_time()
    trade = tradeoff(case.build, case.table, offered, aims)
    if trade is None:
        raise SystemExit(f"{case.name}: a tie cannot hold")
    slowest: list[float] = []

    def timed(budget: Budget) -> Corner:
        begin = time.process_time()
        corner = solve(trade, budget)
        slowest.append(time.process_time() - begin)
        return corner

    ours = list(walk(trade, case.steps, (), timed))
    seconds = time.process_time() - start

    refused: list[Budget] = []
    start = time.process_time()
    theirs = list(walk(trade, case.steps, (), _highs(trade, refused)))
    highs_seconds = time.process_time() - start
    values = [{trade.values(one.precisions) for one in found} for found in (ours, theirs)]
    return Measured(
        name=case.name,
        layers=len(case.table.layers),
        steps=case.steps,
        points=len(ours),
        proven=sum(one.proven for one in ours),
        seconds=seconds,
        slowest_point=max(slowest),
        highs_seconds=highs_seconds,
        highs_refused=len(refused),
        same=values[0] == values[1],
    )


def _goal(metric: Metric) -> Goal:
    return Goal(metric=MetricTerm(metric=metric), sense="minimize", within=Fraction(0), span=None)


def _highs(trade: Tradeoff, refused: list[Budget]) -> Callable[[Budget], Corner]:
    """Return what answers by two runs of the MIP solver."""

    def answer(budget: Budget) -> Corner:
        merged, goals = trade.merged, [trade.x, trade.y]
        if budget.most is not None:
            merged = _adding(merged, trade.x, budget.most)
            goals.reverse()
        point = _cheapest(merged, goals[0])
        if point is not None:
            reached = goals[0].forms[0].at(merged.expand(point))
            merged = _adding(merged, goals[0], reached)
            point = _cheapest(merged, goals[1]) or point
        if point is None or not merged.problem.satisfied(point):
            refused.append(budget)
            return Corner(precisions=tuple(budget.start or ()), proven=False, gap=0.0)
        allocation = trade.where.allocation(merged.expand(point))
        return Corner(precisions=allocation, proven=False, gap=0.0)

    return answer


def _adding(merged: Merged, goal: Aim, cap: Fraction) -> Merged:
    return replace(merged, problem=merged.problem.adding(*within(merged, goal, cap)))


def _cheapest(merged: Merged, goal: Aim) -> tuple[int, ...] | None:
    cost = merged.fold(goal.forms[0].integral().parts)
    return Relaxation(merged.problem, cost).best_integer(10**6)


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one network, one seed; writes nothing"
    )
    quick = parser.parse_args().quick
    measure(Case("warm-up", *instance("resnet18", 2, HALF, 0)))
    rows = [asdict(measure(case)) for case in cases(quick=quick)]
    show(rows)
    if not quick:
        write_results("pareto", rows)


if __name__ == "__main__":
    main()
