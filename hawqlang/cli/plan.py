"""`hawqc plan`: which layer gets which precision, and why that is best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hawqlang import units
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
from hawqlang.cli.locks import (
    Held,
    LockedOption,
    changes_since,
    hold,
    plan_entry,
    plan_terms,
    print_since,
    since_json,
)
from hawqlang.cli.progress import Terminal
from hawqlang.cli.specs import read_builds
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.lock import Entry
from hawqlang.ir.plan import BitPlan, ConstraintResult
from hawqlang.ir.spec import Build


@guarded
def plan(
    file: SpecArgument,
    set_: SetOption = None,
    trust: TrustOption = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PLAN.json", help="Save it for `hawqc build`."),
    ] = None,
    locked: LockedOption = False,
    format_: FormatOption = Format.text,
) -> None:
    """Choose every layer's precision and prove the choice; writes no artifact."""
    from hawqlang.cache import Cache
    from hawqlang.pipeline import plan_build
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.allocate.report import plan_json
    from hawqlang.stages.lock.origin import origin
    from hawqlang.stages.lock.saved import save_plan

    spec, builds = read_builds(file, set_, trust=trust)
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
    held = hold(spec, locked=locked)
    entries: dict[str, Entry] = {}
    for build in builds:
        warnings: list[Diagnostic] = []
        session = Session(Cache(cache_dir()), Terminal(stderr))
        now = origin(spec, build, evaluation=locked or out is not None)
        terms = plan_terms(held, build, now)
        try:
            analysis, found = plan_build(build, session, warnings.append, terms)
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
            print_plan(found)
            print_since(changes)
        refused = _refused(held, build, entries.get(build.name))
        show(refused)
        failed = failed or bool(refused)
    if failed:
        raise typer.Exit(1)
    if out is not None:
        save_plan(out, spec, entries)


def _refused(held: Held, build: Build, now: Entry | None) -> tuple[Diagnostic, ...]:
    """Return why a plan is not what the lock says, where the lock binds."""
    try:
        if now is not None:
            held.check(build, now)
    except HawqError as error:
        return error.diagnostics
    return ()


def print_plan(found: BitPlan) -> None:
    """Print the table of layers, totals and constraints."""
    stdout.print(f"\n[bold]{found.build}[/bold]  {_status(found)}")
    layers = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("layer", "kind", "precision"):
        layers.add_column(column)
    for column in ("weights", "MACs", "size", "sensitivity"):
        layers.add_column(column, justify="right")
    for choice in found.layers:
        cost = dict(choice.sensitivity).get(choice.precision)
        layers.add_row(
            choice.name,
            choice.kind,
            str(choice.precision),
            f"{choice.params:,}",
            units.work(choice.macs, ""),
            units.size(choice.params * choice.precision.wbits / 8),
            "" if cost is None else f"{cost:.3g}",
        )
    stdout.print(layers)
    metrics = dict(found.metrics)
    parts = [f"size {units.size(metrics['size_bytes'])}", units.work(metrics["bops"], "BOPS")]
    if "latency_us" in metrics:
        parts.append(f"{units.duration(metrics['latency_us'] / 1e6)} modelled")
    stdout.print("total: " + ", ".join(parts), markup=False)
    for row in found.constraints:
        stdout.print(_constraint(row), markup=False, soft_wrap=True)


def _status(found: BitPlan) -> str:
    if found.status == "optimal":
        return "proven optimal"
    gap = "" if found.gap is None else f", within {100 * found.gap:.2f} % of the optimum"
    return f"{found.status}{gap}"


def _constraint(row: ConstraintResult) -> str:
    text = f"  {row.name}: {row.text}"
    if row.value is None or row.bound is None:
        return text if row.holds is not None else f"{text}  (decided at build)"
    value, slack = units.quantity(row.value, row.unit), units.quantity(row.slack or 0, row.unit)
    return f"{text}  is {value}, slack {slack}"
