"""`hawqc check`: everything that can be found without measuring anything; made for CI."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from hawqlang.cli.common import (
    CheckFormat,
    SetOption,
    TrustOption,
    guarded,
    overrides,
    quotable,
    split_build,
)
from hawqlang.cli.locks import LockedOption, locked_findings
from hawqlang.cli.specs import chosen_builds
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.ir.spec import Spec


@guarded
def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE[:NAME]…", help="Specs.", show_default=False)
    ],
    set_: SetOption = None,
    trust: TrustOption = False,
    locked: LockedOption = False,
    format_: Annotated[
        CheckFormat, typer.Option("--format", help="Shape of the findings.")
    ] = CheckFormat.text,
) -> None:
    """Parse, resolve and type specs, and prove that their constraints can be met, as far as nothing need be measured.

    Reads no weights and no data, runs nothing, imports neither torch nor tvm: safe on an untrusted pull request.
    With --locked it reads both, to see whether they are those of the lock.
    """
    from hawqlang.diagnostics.formats import render

    found: list[Diagnostic] = []
    for file in files:
        found += _check_file(file, set_, trust=trust, locked=locked)
    found = list(dict.fromkeys(found))
    text = render(
        found,
        quotable(found),
        format_.value,
        color=format_ is CheckFormat.text and sys.stdout.isatty(),
    )
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    errors = sum(d.severity == "error" for d in found)
    if format_ is CheckFormat.text:
        typer.echo(_summary(len(files), errors, len(found) - errors), err=True)
    if errors:
        raise typer.Exit(1)


def _check_file(
    file: str, settings: list[str] | None, *, trust: bool, locked: bool
) -> Iterator[Diagnostic]:
    from hawqlang.diagnostics.ignore import apply_ignores
    from hawqlang.stages.resolve import resolve_file

    path, name = split_build(file)
    if not path.is_file():
        raise ToolError(
            Diagnostic(
                code="HQ823",
                severity="error",
                message=f"cannot open '{path}'",
                help="give the path of a .hawq file; `hawqc init` writes one",
            )
        )
    spec, diagnostics = resolve_file(path, overrides=overrides(settings), trust=trust)
    yield from diagnostics
    if spec is not None:
        yield from apply_ignores(_check_builds(spec, name), spec.ignores, judge="5")
    if spec is not None and locked and (spec.builds or name is not None):
        yield from locked_findings(spec, chosen_builds(spec, name))


def _check_builds(spec: Spec, name: str | None) -> Iterator[Diagnostic]:
    from hawqlang.stages.deferred import deferred
    from hawqlang.stages.feasibility import feasibility

    if spec.builds or name is not None:
        for build in chosen_builds(spec, name):
            yield from deferred(spec, build, "note")
            yield from feasibility(build)


def _summary(files: int, errors: int, others: int) -> str:
    what = f"{files} file{'s' * (files != 1)} checked"
    if not errors and not others:
        return f"{what}: no findings"
    return (
        f"{what}: {errors} error{'s' * (errors != 1)}, {others} other finding{'s' * (others != 1)}"
    )
