"""An allocation that somebody else chose: checked against the spec, and compared with the proven optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hawqlang.base import Precision
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build
from hawqlang.stages.allocate.encoding import goal_name
from hawqlang.stages.allocate.results import choices, metrics, results
from hawqlang.stages.allocate.solve import DEFAULT, allocate
from hawqlang.stages.candidates.metrics import Facts, facts, value
from hawqlang.stages.candidates.predicates import at_build, holds


def given(
    build: Build,
    table: LayerTable,
    candidates: CandidateTable,
    wanted: Mapping[str, Precision],
    *,
    exclude: Sequence[Mapping[str, Precision]] = (),
) -> BitPlan:
    """Return the plan of exactly the allocation ``wanted``.

    It is the proven optimum's plan where it is the optimum, else its status is ``feasible`` with the distance from
    the optimum as the gap. Constraints on the accuracies are left to the build.

    Args:
        build: goals and constraints.
        table: the layers.
        candidates: what each layer may take.
        wanted: the precision of every layer.
        exclude: allocations refused before; see ``allocate``.

    Raises:
        HawqError: the allocation has other layers, a precision that a layer may not take, or breaks a
            constraint (HQ867).
    """
    known = facts(build, table, candidates)
    _check_layers(known, wanted)
    allocation = tuple(wanted[layer.name] for layer in table.layers)
    broken = [
        c
        for c in build.constraints
        if not at_build(c.predicate) and not holds(known, c.predicate, allocation)
    ]
    if broken:
        notes = tuple(f"{c.name}: {c.text}" for c in broken)
        raise HawqError(_refused(build, f"it breaks '{broken[0].name}'", notes))
    best = allocate(build, table, candidates, exclude=exclude)
    if best.allocation() == dict(wanted):
        return best
    goals = build.objective or (DEFAULT,)
    return BitPlan(
        build=build.name,
        status="feasible",
        gap=_gap(known, allocation, best),
        objective=tuple(
            (goal_name(goal.metric), float(value(known, goal.metric, allocation))) for goal in goals
        ),
        metrics=metrics(known, allocation),
        layers=choices(known, allocation),
        constraints=results(known, allocation),
        latency_from=known.build.target.latency_from,
        notes=(*candidates.notes, "the allocation was given, not chosen"),
    )


def _gap(known: Facts, allocation: tuple[Precision, ...], best: BitPlan) -> float | None:
    """Return the distance from the optimum of the first goal, relative to the value reached."""
    if best.status != "optimal":
        return None
    goal = (known.build.objective or (DEFAULT,))[0]
    reached = float(value(known, goal.metric, allocation))
    return abs(reached - best.objective[0][1]) / (abs(reached) or 1.0)


def _check_layers(known: Facts, wanted: Mapping[str, Precision]) -> None:
    """Refuse an allocation of other layers, or of precisions that they may not take."""
    names = [layer.name for layer in known.table.layers]
    missing = [name for name in names if name not in wanted]
    strange = [name for name in wanted if name not in known.index]
    refused = [
        f"{own.layer} may not take {wanted[own.layer]}"
        for own in known.candidates.layers
        if own.layer in wanted and wanted[own.layer] not in own.precisions()
    ]
    problems = [
        *(f"the model has no layer '{name}'" for name in strange),
        *(f"it says nothing of layer '{name}'" for name in missing),
        *refused,
    ]
    if problems:
        raise HawqError(_refused(known.build, problems[0], tuple(problems[1:])))


def _refused(build: Build, why: str, notes: tuple[str, ...]) -> Diagnostic:
    return Diagnostic(
        code="HQ867",
        severity="error",
        message=f"the planned allocation of '{build.name}' cannot be built: {why}",
        span=build.span,
        notes=notes,
        help="plan again: `hawqc plan SPEC.hawq -o plan.json`",
    )
