"""`hawqc plan`: which layer gets which precision, and why that is best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hawqlang.cli.common import (
    Format,
    FormatOption,
    LockedOption,
    SetOption,
    SpecArgument,
    TrustOption,
    guarded,
    print_json,
    show,
    stderr,
)
from hawqlang.cli.locks import (
    Held,
    changes_since,
    hold,
    plan_entry,
    plan_terms,
    print_since,
    since_json,
)
from hawqlang.cli.plan_text import asked_about, print_plan
from hawqlang.cli.progress import Terminal
from hawqlang.cli.specs import only_build, read_builds
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.lock import Entry
from hawqlang.ir.spec import Build


@guarded
def plan(
    file: SpecArgument,
    set_: SetOption = None,
    trust: TrustOption = False,
    why: Annotated[
        list[str] | None,
        typer.Option("--why", metavar="LAYER|all", help="Show layers at length; * in a name."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PLAN.json", help="Save it for `hawqc build`."),
    ] = None,
    locked: LockedOption = False,
    format_: FormatOption = Format.text,
) -> None:
    """Choose every layer's precision and prove the choice; writes no artifact."""
    from hawqlang.cache import Cache
    from hawqlang.pipeline import explain_plan, plan_build
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.allocate.report import plan_json
    from hawqlang.stages.lock.origin import origin
    from hawqlang.stages.lock.saved import save_plan

    if out is not None:
        _check_output(out)
    spec, builds = read_builds(file, set_, trust=trust)
    if format_ is Format.json and len(builds) > 1:
        only_build(file, builds, "`--format json` prints one object")
    failed = False
    held = hold(spec, locked=locked)
    entries: dict[str, Entry] = {}
    for build in builds:
        warnings: list[Diagnostic] = []
        session = Session(Cache(cache_dir()), Terminal(stderr))
        now = origin(spec, build, evaluation=locked or out is not None)
        terms = plan_terms(held, build, now)
        try:
            analysis, found = plan_build(build, session, warnings.append, terms)
            asked = asked_about((layer.name for layer in found.layers), why or ())
            found = explain_plan(analysis, found, session, terms, asked)
        finally:
            show(warnings)
        show(found.diagnostics)
        failed = failed or not found.layers
        changes = None
        if found.layers:
            entries[build.name] = plan_entry(now, analysis, found, terms)
            changes = changes_since(held, build, entries[build.name])
        if format_ is Format.json:
            print_json(plan_json(found) | {"lock": since_json(changes)})
        elif found.layers:
            print_plan(found, asked)
            print_since(changes)
        refused = _refused(held, build, entries.get(build.name))
        show(refused)
        failed = failed or bool(refused)
    if failed:
        raise typer.Exit(1)
    if out is not None:
        save_plan(out, spec, entries)


def _check_output(path: Path) -> None:
    """Refuse a place for a plan that `build` would not read, or where something else is."""
    from hawqlang.stages.lock.saved import is_plan

    if path.suffix != ".json":
        why, remedy = "the name of a saved plan ends in `.json`", "write `-o plan.json`"
    elif path.exists() and not is_plan(path):
        why, remedy = "it is there and no saved plan", "give another name, or delete it first"
    else:
        return
    raise ToolError(
        Diagnostic(
            code="HQ872",
            severity="error",
            message=f"the plan cannot be saved as '{path}': {why}",
            help=remedy,
        )
    )


def _refused(held: Held, build: Build, now: Entry | None) -> tuple[Diagnostic, ...]:
    """Return why a plan is not what the lock says, where the lock binds."""
    try:
        if now is not None:
            held.check(build, now)
    except HawqError as error:
        return error.diagnostics
    return ()
