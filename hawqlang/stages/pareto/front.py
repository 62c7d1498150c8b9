"""Build and request to front: every point solved once, kept, and shown as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from hawqlang.base import Precision
from hawqlang.cache import digest
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.front import AxisBound, Corner, Front, FrontPoint
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.profile import Profile
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build, Goal, LayersSource, Linear, MetricTerm
from hawqlang.session import Session
from hawqlang.stages.allocate.encode import linear
from hawqlang.stages.allocate.front import (
    Answer,
    Budget,
    Tradeoff,
    resolution,
    solve,
    tradeoff,
    walk,
)
from hawqlang.stages.allocate.nearest import bounds
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.allocate.space import space
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import facts
from hawqlang.stages.candidates.predicates import at_build
from hawqlang.stages.pareto.request import Request, aims, axes, relaxed

Report = Callable[[Diagnostic], None]

Show = Callable[[FrontPoint, bool], None]
"""Called with every point found, and whether the spec itself chooses it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a lock knows of a build."""

    sensitivities: SensitivityTable | None = None
    """Used instead of measuring."""
    refused: tuple[Mapping[str, Precision], ...] = ()
    """Allocations that failed a constraint on the accuracy: the spec does not choose them."""
    profile: Profile | None = None
    """Used instead of measuring, where the target's latencies are measured."""


NOTHING = Recorded()


def pareto(
    build: Build,
    request: Request,
    session: Session,
    report: Report,
    show: Show,
    recorded: Recorded = NOTHING,
) -> Front:
    """Return the front of two metrics under the constraints of a build.

    A point that was solved before, by this run or one that was stopped, is not solved again.

    Args:
        build: the constraints, and what the spec itself chooses by.
        request: the metrics, and how finely to look.
        session: the cache, the progress.
        report: takes warnings.
        show: takes every point as it is found.
        recorded: what a lock knows.

    Raises:
        ToolError: the request names no metric or no constraint, or the solver found nothing.
        HawqError: the model or its data are at fault, or nothing satisfies the constraints (HQ501).
    """
    wanted, kept = aims(request), relaxed(build, request.relax)
    table, offered = _known(build, session, report, recorded)
    with session.step("allocate", "choose and prove every layer's precision"):
        plan = allocate(build, table, offered, exclude=recorded.refused)
    if not plan.layers and not request.relax:
        raise _nothing(plan)
    trade = tradeoff(kept, table, offered, wanted)
    if trade is None:
        raise _nothing(allocate(kept, table, offered))
    names = [layer.name for layer in table.layers]
    chosen = _chosen(trade, names, plan)
    also = [] if chosen is None else [trade.cost([p for _, p in chosen.layers])]
    found: list[FrontPoint] = []
    for corner in walk(trade, request.steps, also, _remembered(trade, session)):
        point = _point(trade, names, corner)
        found.append(point)
        show(point, chosen is not None and (chosen.x, chosen.y) == (point.x, point.y))
    if not found:
        raise _nothing(allocate(kept.replace(objective=wanted[1:]), table, offered))
    x, y = axes(request)
    return Front(
        build=build.name,
        x=x,
        y=y,
        points=tuple(_undominated(trade, reversed(found))),
        chosen=chosen,
        resolution=_resolution(trade, request.steps, found),
        bounds=tuple(_bounds(build, table, offered, wanted, request.relax)),
        relaxed=request.relax,
        at_build=tuple(one.name for one in kept.constraints if at_build(one.predicate)),
    )


def _known(
    build: Build, session: Session, report: Report, recorded: Recorded
) -> tuple[LayerTable, CandidateTable]:
    """Return the layers of a build and what each may take; a table of layers is only read."""
    source = build.model.source
    if isinstance(source, LayersSource):
        from hawqlang.stages.import_model.layer_file import read_layer_table

        table = read_layer_table(Path(source.path))
        return table, candidates(build, table, None)
    from hawqlang.stages.analyse import analyse

    analysis = analyse(build, session, report, recorded.sensitivities, recorded.profile)
    return analysis.table, analysis.candidates


def _remembered(trade: Tradeoff, session: Session) -> Answer:
    key = trade.key()

    def answer(budget: Budget) -> Corner:
        own = digest(key, budget.most)
        return session.cache.step(own, Corner, lambda: solve(trade, budget))

    return answer


def _point(trade: Tradeoff, names: Sequence[str], corner: Corner) -> FrontPoint:
    x, y = trade.values(corner.precisions)
    layers = tuple(zip(names, corner.precisions, strict=True))
    return FrontPoint(x=x, y=y, proven=corner.proven, gap=corner.gap, layers=layers)


def _chosen(trade: Tradeoff, names: Sequence[str], plan: BitPlan) -> FrontPoint | None:
    if not plan.layers:
        return None
    precisions = tuple(choice.precision for choice in plan.layers)
    proven = plan.status == "optimal"
    return _point(trade, names, Corner(precisions=precisions, proven=proven, gap=plan.gap or 0.0))


def _resolution(trade: Tradeoff, steps: int | None, found: Sequence[FrontPoint]) -> Fraction:
    """Return how far apart budgets are; 0 where no value lies between them."""
    step = abs(resolution(found[0].x, found[-1].x, steps))
    return Fraction(0) if step <= trade.unit() else step


def _undominated(trade: Tradeoff, points: Iterable[FrontPoint]) -> Iterator[FrontPoint]:
    """Yield the points, best x first, without those that an unproven answer let slip in."""
    _, y = trade.aims
    best: Fraction | None = None
    for point in points:
        cost = -point.y if y.sense == "maximize" else point.y
        if best is None or cost < best:
            best = cost
            yield point


def _bounds(
    build: Build,
    table: LayerTable,
    offered: CandidateTable,
    wanted: Sequence[Goal],
    relax: Sequence[str],
) -> Iterator[AxisBound]:
    """Yield the bounds of the spec on a metric of the front, with their values."""
    where = space(facts(build, table, offered))
    sides: tuple[Literal["x", "y"], ...] = ("x", "y")
    for constraint in build.constraints:
        for bound in bounds(constraint):
            for side, aim in zip(sides, wanted, strict=True):
                factor = _share(bound.of, aim.metric)
                if factor:
                    limit = linear(where, bound.limit).constant - bound.of.constant
                    yield AxisBound(
                        constraint=constraint.name,
                        text=constraint.text,
                        axis=side,
                        value=limit / factor,
                        relaxed=constraint.name in relax,
                    )


def _share(form: Linear, metric: MetricTerm) -> Fraction:
    """Return how often an expression holds the metric, 0 where it holds anything else."""
    if len(form.terms) != 1 or form.terms[0].of != metric:
        return Fraction(0)
    return form.terms[0].coefficient


def _nothing(plan: BitPlan) -> HawqError:
    """Return why there is no point at all."""
    if plan.status == "unknown":
        return ToolError(*plan.diagnostics)
    return HawqError(*plan.diagnostics)
