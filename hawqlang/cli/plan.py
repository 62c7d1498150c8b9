"""`hawqc plan`: which layer gets which precision, and why that is best."""

from __future__ import annotations

from typing import Annotated

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
)
from hawqlang.cli.plan_text import asked_about, print_plan
from hawqlang.cli.progress import Terminal
from hawqlang.cli.specs import read_builds
from hawqlang.diagnostics import Diagnostic, ToolError


@guarded
def plan(
    file: SpecArgument,
    set_: SetOption = None,
    trust: TrustOption = False,
    why: Annotated[
        list[str] | None,
        typer.Option("--why", metavar="LAYER|all", help="Show layers at length; * in a name."),
    ] = None,
    format_: FormatOption = Format.text,
) -> None:
    """Choose every layer's precision and prove the choice; writes no artifact."""
    from hawqlang.cache import Cache
    from hawqlang.pipeline import explain_plan, plan_build
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.allocate.report import plan_json

    _, builds = read_builds(file, set_, trust=trust)
    if format_ is Format.json and len(builds) > 1:
        raise ToolError(
            Diagnostic(
                code="HQ829",
                severity="error",
                message=f"'{file}' has {len(builds)} builds; `--format json` prints one object",
                help="name one: " + ", ".join(f"`{file}:{build.name}`" for build in builds),
            )
        )
    failed = False
    for build in builds:
        warnings: list[Diagnostic] = []
        session = Session(Cache(cache_dir()), Terminal(stderr))
        try:
            analysis, found = plan_build(build, session, warnings.append)
            asked = asked_about((layer.name for layer in found.layers), why or ())
            found = explain_plan(analysis, found, session, asked)
        finally:
            show(warnings)
        show(found.diagnostics)
        failed = failed or not found.layers
        if format_ is Format.json:
            print_json(plan_json(found))
        elif found.layers:
            print_plan(found, asked)
    if failed:
        raise typer.Exit(1)
