"""Read a spec for a command: resolve it, show what was found, stop at errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from hawqlang.cli.common import overrides, show, split_build
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.diagnostics.suggest import nearest
from hawqlang.ir.spec import Build, Spec
from hawqlang.stages.resolve import MISSING_FILE_CODES, resolve_file


def read_spec(path: Path, settings: list[str] | None, *, trust: bool) -> Spec:
    """Return the resolved spec; show warnings; an error, or a file that is not there, ends the command."""
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
    found = [upgraded(d) for d in diagnostics]
    if spec is None or any(d.severity == "error" for d in found):
        show(found)
        raise typer.Exit(1)
    show(found)
    return spec


def read_builds(
    argument: str, settings: list[str] | None, *, trust: bool
) -> tuple[Spec, tuple[Build, ...]]:
    """Return the spec of ``FILE[:NAME]`` and the builds meant by it."""
    path, name = split_build(argument)
    spec = read_spec(path, settings, trust=trust)
    return spec, chosen_builds(spec, name)


def chosen_builds(spec: Spec, name: str | None) -> tuple[Build, ...]:
    """Return the build called ``name``, or all; a library file has none to give."""
    if not spec.builds:
        raise HawqError(
            Diagnostic(
                code="HQ824",
                severity="error",
                message=f"'{spec.file}' has no `quantize` block: it is a library for imports",
                help="name a file that has one",
            )
        )
    if name is None:
        return spec.builds
    chosen = tuple(build for build in spec.builds if build.name == name)
    if not chosen:
        names = [build.name for build in spec.builds]
        near = nearest(name, names) or tuple(names)
        raise ToolError(
            Diagnostic(
                code="HQ825",
                severity="error",
                message=f"'{spec.file}' has no build called '{name}'",
                help="it has " + ", ".join(f"`{n}`" for n in near),
            )
        )
    return chosen


def only_build(file: str, builds: Sequence[Build], why: str) -> Build:
    """Return the one build there is; several are misuse, and ``why`` says what speaks against them."""
    if len(builds) > 1:
        raise ToolError(
            Diagnostic(
                code="HQ829",
                severity="error",
                message=f"'{file}' has {len(builds)} builds; {why}",
                help="name one: " + ", ".join(f"`{file}:{build.name}`" for build in builds),
            )
        )
    return builds[0]


def upgraded(diagnostic: Diagnostic) -> Diagnostic:
    """Return the diagnostic, an error where a file that this command needs is missing."""
    if diagnostic.code in MISSING_FILE_CODES and diagnostic.severity == "warning":
        return diagnostic.replace(severity="error")
    return diagnostic
