"""`hawqc pareto`: everything that can be had of two metrics at once, and what the spec makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hawqlang.cli.common import (
    Format,
    FormatOption,
    SetOption,
    SpecArgument,
    TrustOption,
    guarded,
    print_json,
    show,
    stderr,
    stdout,
)
from hawqlang.cli.progress import Terminal
from hawqlang.cli.specs import only_build, read_builds
from hawqlang.diagnostics import Diagnostic

if TYPE_CHECKING:
    from rich.console import Console

    from hawqlang.ir.front import Axis, Front, FrontPoint
    from hawqlang.ir.spec import Build, Spec
    from hawqlang.stages.pareto.front import Recorded

    Columns = tuple[Axis, Axis]

WIDTH = 14
"""Characters of a column of values."""


@guarded
def pareto(
    file: SpecArgument,
    x: Annotated[str, typer.Option("--x", metavar="METRIC", help="One metric.")] = "size",
    y: Annotated[str, typer.Option("--y", metavar="METRIC", help="The other.")] = "perturbation",
    points: Annotated[
        int,
        typer.Option("--points", min=1, help="Into how many budgets the range of x is divided."),
    ] = 100,
    all_: Annotated[
        bool, typer.Option("--all", help="Every non-dominated point; may be very many.")
    ] = False,
    relax: Annotated[
        list[str] | None,
        typer.Option("--relax", metavar="NAME", help="Leave out a constraint of the spec."),
    ] = None,
    maximize: Annotated[
        list[str] | None,
        typer.Option("--maximize", metavar="METRIC", help="Take more of a metric as better."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", "-o", metavar="FILE", help="Draw it: a .svg or .png file."),
    ] = None,
    set_: SetOption = None,
    trust: TrustOption = False,
    format_: FormatOption = Format.text,
) -> None:
    """Find the allocations that no other beats in both of two metrics, each proven.

    Smaller is better. A run that is stopped continues where it was.
    """
    from hawqlang.cache import Cache, write_atomic
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.pareto.draw import drawing
    from hawqlang.stages.pareto.front import pareto as front_of
    from hawqlang.stages.pareto.picture import picture
    from hawqlang.stages.pareto.report import front_json
    from hawqlang.stages.pareto.request import Request, axes

    steps = None if all_ else points
    request = Request(x, y, steps, tuple(maximize or ()), tuple(relax or ()))
    columns = axes(request)
    draw = None if plot is None else drawing(plot)
    spec, builds = read_builds(file, set_, trust=trust)
    build = only_build(file, builds, "a front is that of one")
    console = stdout if format_ is Format.text else stderr
    warnings: list[Diagnostic] = []
    session = Session(Cache(cache_dir()), Terminal(stderr))
    try:
        rows = _rows(console, columns)
        front = front_of(build, request, session, warnings.append, rows, _recorded(spec, build))
    finally:
        show(warnings)
    if format_ is Format.json:
        print_json(front_json(front))
    for line in _summary(front):
        console.print(line, markup=False, soft_wrap=True)
    if plot is not None and draw is not None:
        write_atomic(plot, draw(picture(front)))
        stderr.print(f"wrote {plot}", markup=False, soft_wrap=True)


def _recorded(spec: Spec, build: Build) -> Recorded:
    """Return what the spec's lock knows of a build, as `plan` uses it; of a table of layers it knows nothing."""
    from hawqlang.ir.spec import LayersSource
    from hawqlang.stages.pareto.front import NOTHING, Recorded

    if isinstance(build.model.source, LayersSource):
        return NOTHING
    from hawqlang.cli.locks import hold, plan_terms
    from hawqlang.stages.lock.origin import origin

    terms = plan_terms(hold(spec, locked=False), build, origin(spec, build))
    return Recorded(terms.sensitivities, terms.refused, terms.profile)


def _rows(console: Console, columns: Columns) -> Callable[[FrontPoint, bool], None]:
    """Return what prints a point as a row of a table, with a heading above the first."""
    from hawqlang.stages.pareto.picture import quantity

    x, y = columns
    began: list[bool] = []

    def row(point: FrontPoint, chosen: bool) -> None:
        if not began:
            heading = f"{x.metric:>{WIDTH}}  {y.metric:>{WIDTH}}  layers"
            console.print(heading, style="bold", markup=False)
            began.append(True)
        text = f"{quantity(x, point.x):>{WIDTH}}  {quantity(y, point.y):>{WIDTH}}  {_mix(point)}"
        if not point.proven:
            text += f"  (within {point.gap:.2%} of the best)"
        style = "bold" if chosen else None
        text += "  <- the spec's choice" if chosen else ""
        console.print(text, style=style, markup=False, soft_wrap=True)

    return row


def _mix(point: FrontPoint) -> str:
    """Return how many layers have which precision, the narrowest first."""
    counted = Counter(precision for _, precision in point.layers)
    ordered = sorted(counted, key=lambda p: (p.wbits, p.abits))
    return ", ".join(f"{counted[precision]} {precision}" for precision in ordered)


def _summary(front: Front) -> Iterator[str]:
    """Yield what is to be said of the whole."""
    from hawqlang.stages.pareto.picture import coordinates, words

    yield f"{front.build}: {words(front)}"
    if front.chosen is None:
        yield "the spec itself cannot be met: nothing is marked"
    elif not any(front.is_chosen(point) for point in front.points):
        yield f"the spec chooses {coordinates(front, front.chosen)}, which is not on this front"
    for bound in front.bounds:
        if not bound.relaxed:
            name = f"`--relax {bound.constraint}`"
            yield f"'{bound.constraint}' holds for every point ({bound.text}); {name} looks beyond"
    for name in front.at_build:
        yield f"'{name}' is decided at build: a point may still fail it"
