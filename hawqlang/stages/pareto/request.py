"""What the command line asks for: two metrics, which way each is better, constraints to leave out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.diagnostics.suggest import nearest
from hawqlang.ir.front import Axis
from hawqlang.ir.spec import Build, Goal, Metric, MetricTerm
from hawqlang.stages.allocate.results import UNITS
from hawqlang.stages.candidates.metrics import AT_BUILD
from hawqlang.stages.resolve.metrics import DIMENSIONS

METRICS: tuple[Metric, ...] = tuple(name for name in get_args(Metric) if name not in AT_BUILD)
"""The metrics that allocation knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """A front, in the words of the command line."""

    x: str
    y: str
    steps: int | None = 100
    """Into how many budgets the range of x is divided; ``None``: every point."""
    maximize: tuple[str, ...] = ()
    """Which of the two is better when larger."""
    relax: tuple[str, ...] = ()
    """Constraints that the front need not meet."""


def aims(request: Request) -> tuple[Goal, Goal]:
    """Return the two metrics, each with the sense in which it is better.

    Raises:
        ToolError: a word that is no metric of allocation, or twice the same (HQ512).
    """
    x, y = _metric("--x", request.x), _metric("--y", request.y)
    if x == y:
        raise ToolError(
            _not_an_axis(f"`--x {x} --y {x}` names one metric twice", "give two different metrics")
        )
    for name in request.maximize:
        if _metric("--maximize", name) not in {x, y}:
            raise ToolError(
                _not_an_axis(
                    f"`--maximize {name}`: `{name}` is on neither axis", f"use `{x}` or `{y}`"
                )
            )
    return _goal(x, request.maximize), _goal(y, request.maximize)


def axes(request: Request) -> tuple[Axis, Axis]:
    """Return the two metrics as axes.

    Raises:
        ToolError: as ``aims``.
    """
    x, y = (
        Axis(
            metric=aim.metric.metric,
            sense=aim.sense,
            unit=UNITS[DIMENSIONS[aim.metric.metric]],
        )
        for aim in aims(request)
    )
    return x, y


def relaxed(build: Build, names: Collection[str]) -> Build:
    """Return the build without the constraints of the given names.

    Raises:
        ToolError: there is no constraint of a name (HQ513).
    """
    known = [one.name for one in build.constraints]
    for name in names:
        if name not in known:
            near = nearest(name, known) or tuple(known)
            raise ToolError(
                Diagnostic(
                    code="HQ513",
                    severity="error",
                    message=f"`--relax {name}`: '{build.name}' has no constraint of that name",
                    help="it has " + ", ".join(f"`{one}`" for one in near) if near else None,
                )
            )
    kept = tuple(one for one in build.constraints if one.name not in names)
    return build.replace(constraints=kept)


def _goal(metric: Metric, maximize: Collection[str]) -> Goal:
    return Goal(
        metric=MetricTerm(metric=metric),
        sense="maximize" if metric in maximize else "minimize",
        within=Fraction(0),
        span=None,
    )


def _metric(option: str, word: str) -> Metric:
    if word in AT_BUILD:
        message = f"`{option} {word}`: only running the integer program tells the accuracy"
        remedy = "use `perturbation`, which estimates what quantizing costs"
        raise ToolError(_not_an_axis(message, remedy))
    if word not in METRICS:
        message = f"`{option} {word}`: there is no such metric"
        near = nearest(word, METRICS) or METRICS
        raise ToolError(_not_an_axis(message, "use " + ", ".join(f"`{one}`" for one in near)))
    return word


def _not_an_axis(message: str, remedy: str) -> Diagnostic:
    return Diagnostic(code="HQ512", severity="error", message=message, help=remedy)
