"""`hawqc build`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hawqlang import units
from hawqlang.cli.common import (
    Format,
    FormatOption,
    LockedOption,
    OutOption,
    SetOption,
    TrustOption,
    guarded,
    print_json,
    show,
    stderr,
    stdout,
)
from hawqlang.cli.evaluate import evaluation_lines
from hawqlang.cli.locks import (
    Held,
    Order,
    artifact_entry,
    hold,
    latencies_of_lock,
    read_order,
    recorded_sensitivities,
)
from hawqlang.cli.plan_text import print_plan
from hawqlang.cli.progress import Terminal
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.lock import Origin
from hawqlang.ir.spec import Build


@guarded
def build(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="A spec, one build of it, or a plan that `hawqc plan -o` saved.",
            show_default=False,
        ),
    ],
    set_: SetOption = None,
    trust: TrustOption = False,
    out: OutOption = Path("build"),
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Measure everything again; keep nothing.")
    ] = False,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Measure forms of kernels on this machine and take the fastest; what is found is kept.",
        ),
    ] = False,
    tune_seconds: Annotated[
        float,
        typer.Option(
            "--tune-seconds",
            metavar="S",
            min=0.0,
            help="With --tune: begin no further measurement after so long.",
        ),
    ] = 120.0,
    locked: LockedOption = False,
    format_: FormatOption = Format.text,
) -> None:
    """Build everything a spec asks for: one folder per build, written whole or not at all.

    What went in and what came out is kept in SPEC.hawq.lock beside the spec.
    """
    from hawqlang.cache import Cache
    from hawqlang.pipeline import compile_build
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.lock.origin import origin

    order = read_order(file, set_, trust=trust)
    held = hold(order.spec, locked=locked)
    results: list[dict[str, Any]] = []
    for one in order.builds:
        stderr.print(f"[bold]{one.name}[/bold]  {one.model.name} on {one.target.name}")
        cache = Cache(None if no_cache else cache_dir())
        session = Session(cache, Terminal(stderr), tune_seconds if tune else None)
        warnings: list[Diagnostic] = []
        now = origin(order.spec, one)
        terms = _terms(order, held, one, now, measure=no_cache)
        try:
            artifact = compile_build(
                order.spec, one, out / one.name, session, warnings.append, terms
            )
        finally:
            show(warnings)
        held.keep(one, artifact_entry(now, artifact))
        results.append(_json(artifact, session))
        if format_ is Format.text:
            _print(artifact, session)
    if format_ is Format.json:
        print_json({"format_version": 1, "builds": results})


def _terms(order: Order, held: Held, build: Build, now: Origin, *, measure: bool) -> Any:
    """Return what the lock and a saved plan ask of a build, once its inputs are found to be theirs."""
    from hawqlang.pipeline import Terms
    from hawqlang.stages.lock.saved import check_origin

    held.check_origin(build, now)
    entry = held.lock.entry(build.name)
    saved = None if order.plan is None else order.plan.entry(build.name)
    if saved is not None:
        check_origin(order.path, build, saved, now)
    source, row = (held.path, entry) if saved is None else (order.path, saved)
    return Terms(
        sensitivities=None if measure else recorded_sensitivities(source, row, now, build),
        profile=None if measure else latencies_of_lock(source, row, now, build),
        refused=() if saved is None else saved.refusals(),
        given=None if saved is None else saved.allocation(),
        approve=lambda artifact: held.check(build, artifact_entry(now, artifact)),
    )


def _json(artifact: Any, session: Any) -> dict[str, Any]:
    from hawqlang.cli.evaluate import evaluation_json
    from hawqlang.stages.allocate.report import plan_json
    from hawqlang.stages.attempts import attempt_json

    found = artifact.realised.evaluation
    return {
        "name": artifact.manifest.build,
        "dir": str(artifact.folder),
        "seconds": session.seconds,
        "peak_rss_bytes": session.peak_rss_bytes,
        "plan": plan_json(artifact.plan),
        "memory": [
            {
                "backend": backend.name,
                "arena_bytes": backend.arena_bytes,
                "arena_lower_bound_bytes": backend.arena_lower_bound_bytes,
            }
            for backend in artifact.manifest.backends
        ],
        "evaluation": None if found is None else evaluation_json(found),
        "attempts": [attempt_json(one) for one in artifact.realised.attempts],
    }


def _print(artifact: Any, session: Any) -> None:
    from hawqlang.stages.attempts import attempt_line

    print_plan(artifact.plan)
    attempts = artifact.realised.attempts
    for attempt in attempts if len(attempts) > 1 else ():
        line = f"{attempt_line(attempt)}; {attempt.seconds:.1f} s"
        stdout.print(line, markup=False, soft_wrap=True)
    if artifact.realised.evaluation is not None:
        for line in evaluation_lines(artifact.realised.evaluation):
            stdout.print(line, markup=False)
    total = sum(entry.size_bytes for entry in artifact.manifest.files)
    libraries = sum(
        entry.size_bytes
        for entry in artifact.manifest.files
        if any(entry.path.startswith(b.folder + "/") for b in artifact.manifest.backends)
    )
    stdout.print(
        f"[green]✓[/green] {artifact.folder}  {units.size(total)} in all,"
        f" {units.size(libraries)} of code and weights, {sum(session.seconds.values()):.1f} s",
    )
    for backend in artifact.manifest.backends:
        arena, bound = backend.arena_bytes, backend.arena_lower_bound_bytes
        stdout.print(
            f"  {backend.name}: activations take {units.size(arena)}, at the least {units.size(bound)}",
            markup=False,
        )
    stdout.print(
        f"  next: hawqc verify {artifact.folder}; card.md and program.txt say what it is",
        markup=False,
    )
