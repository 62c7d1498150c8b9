"""`hawqc plan`: which layer gets which precision, and why that is best."""

from __future__ import annotations

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
from hawqlang.cli.progress import Terminal
from hawqlang.cli.specs import read_builds
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.ir.plan import BitPlan, ConstraintResult


@guarded
def plan(
    file: SpecArgument,
    set_: SetOption = None,
    trust: TrustOption = False,
    format_: FormatOption = Format.text,
) -> None:
    """Choose every layer's precision and prove the choice; writes no artifact."""
    from hawqlang.cache import Cache
    from hawqlang.pipeline import plan_build
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
            _, found = plan_build(build, session, warnings.append)
        finally:
            show(warnings)
        show(found.diagnostics)
        failed = failed or not found.layers
        if format_ is Format.json:
            print_json(plan_json(found))
        elif found.layers:
            print_plan(found)
    if failed:
        raise typer.Exit(1)


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
