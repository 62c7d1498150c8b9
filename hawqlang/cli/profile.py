"""`hawqc profile`: what every layer takes on this machine, for `latency = profile(…)`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

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
from hawqlang.ir.profile import Profile


@guarded
def profile(
    file: SpecArgument,
    set_: SetOption = None,
    trust: TrustOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PROFILE.json", help="Where to write it.", show_default=False
        ),
    ] = None,
    format_: FormatOption = Format.text,
) -> None:
    """Measure every layer at every precision it may have, on this machine."""
    from hawqlang.cache import Cache, write_atomic
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.profile import profile as measure

    _, builds = read_builds(file, set_, trust=trust)
    build = only_build(file, builds, "a profile is of one of them")
    warnings: list[Diagnostic] = []
    try:
        found = measure(build, Session(Cache(cache_dir()), Terminal(stderr)), warnings.append)
    finally:
        show(warnings)
    path = out or Path(f"{build.name}.profile.json")
    write_atomic(path, (found.model_dump_json(indent=1) + "\n").encode())
    if format_ is Format.json:
        print_json(found.model_dump(mode="json"))
        return
    _print(found)
    stdout.print(f'[green]✓[/green] {path}  next: `latency = profile("{path.name}")` in the target')


def _print(found: Profile) -> None:
    precisions = list(dict.fromkeys(p for layer in found.layers for p in layer.latency_us))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer")
    for precision in precisions:
        table.add_column(precision, justify="right")
    for layer in found.layers:
        times = (layer.latency_us.get(p) for p in precisions)
        table.add_row(layer.name, *("" if t is None else f"{t:.1f} us" for t in times))
    stdout.print(table)
