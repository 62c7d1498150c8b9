"""Saved plans: what ``hawqc plan -o`` writes and ``hawqc build`` takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hawqlang.cache import write_atomic
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.lock import PLAN_KIND, Entry, Origin, SavedPlan
from hawqlang.ir.spec import Build, Spec
from hawqlang.stages.lock.changes import binding, compare, standing
from hawqlang.stages.lock.text import parse, render
from hawqlang.stages.lock.words import fact_words


def save_plan(path: Path, spec: Spec, entries: Mapping[str, Entry]) -> None:
    """Write the plans of a spec's builds, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    where = Path(os.path.relpath(spec.file, path.parent)).as_posix()
    write_atomic(path, render(SavedPlan(spec=where, builds=tuple(entries.items()))).encode())


def read_plan(path: Path) -> SavedPlan:
    """Return a saved plan; nothing in it is believed that is not checked again.

    Raises:
        HawqError: It is damaged (HQ860), of a newer version (HQ861), or names no spec beside it (HQ865).
        OSError: It cannot be read.
    """
    plan = parse(path, SavedPlan, "saved plan")
    if not plan.builds or not _is_spec(plan.spec):
        raise HawqError(
            Diagnostic(
                code="HQ865",
                severity="error",
                message=f"'{path}' names no spec by a relative path, or no build of it",
                help="save the plan again: `hawqc plan SPEC.hawq -o plan.json`",
            )
        )
    return plan


def is_plan(path: Path) -> bool:
    """Return whether a file is a saved plan, of any version and however damaged behind its first lines."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return f'"kind": "{PLAN_KIND}"'.encode() in stream.read(200)


def spec_of(path: Path, plan: SavedPlan) -> Path:
    """Return the path of the spec that a plan is of, as seen from the working directory."""
    return Path(os.path.normpath(path.parent / plan.spec))


def settings_of(plan: SavedPlan) -> dict[str, str]:
    """Return the ``--set`` values a plan was made with."""
    return {name: value for _, entry in plan.builds for name, value in entry.origin.settings}


def check_origin(path: Path, build: Build, saved: Entry, now: Origin) -> None:
    """Check that nothing a plan was made from has changed since.

    Raises:
        HawqError: Something has (HQ866), named.
    """
    before, after = saved.replace(refused=()), saved.replace(refused=(), origin=now)
    found = binding(compare(build.name, standing(before), standing(after)))
    if found.facts:
        raise HawqError(
            Diagnostic(
                code="HQ866",
                severity="error",
                message=f"'{build.name}' has changed since '{path}' was saved: {fact_words(found.facts[0])}",
                span=build.span,
                notes=tuple(fact_words(fact) for fact in found.facts[1:]),
                help="plan again: `hawqc plan SPEC.hawq -o plan.json`",
            )
        )


def _is_spec(text: str) -> bool:
    path = PurePosixPath(text)
    return path.suffix == ".hawq" and not path.is_absolute() and text.isprintable()
