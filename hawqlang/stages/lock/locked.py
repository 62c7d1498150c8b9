"""What ``--locked`` refuses: a build that is not what its lock says."""

from __future__ import annotations

from pathlib import Path

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic, Label
from hawqlang.ir.changes import Changes, FactChange
from hawqlang.ir.lock import Entry, Origin
from hawqlang.ir.spec import Build
from hawqlang.stages.lock.changes import binding, compare, standing
from hawqlang.stages.lock.words import differences

SHOWN = 12
"""Differences that a diagnostic lists before it counts."""


def origin_refusal(path: Path, build: Build, entry: Entry | None, now: Origin) -> Diagnostic | None:
    """Return why a build's inputs are not those of its lock; ``None`` where they are.

    Args:
        path: The lock.
        build: What is to be built.
        entry: What the lock says of it.
        now: What it would be made from; inputs that could not be read may be left out.
    """
    if entry is None:
        return _absent(path, build)
    known = dict(now.inputs)
    kept = tuple(row for row in entry.origin.inputs if row[0] in known)
    before = entry.replace(origin=entry.origin.replace(inputs=kept))
    return refusal(path, build, before, before.replace(origin=now))


def refusal(path: Path, build: Build, entry: Entry | None, now: Entry) -> Diagnostic | None:
    """Return why a build would differ from its lock; ``None`` where it would not.

    A measured accuracy does not count: the float network's may hang on the machine's rounding, and the integer
    network's follows from the program, which is compared.
    """
    if entry is None:
        return _absent(path, build)
    before = standing(entry.replace(evaluation=None))
    changes = compare(build.name, before, standing(now.replace(evaluation=None)))
    found = binding(changes)
    return None if found.none() else _differs(path, build, found, changes)


def _differs(path: Path, build: Build, found: Changes, changes: Changes) -> Diagnostic:
    lines = list(differences(_without_echo(found)))
    more = len(lines) - SHOWN
    libraries = [fact for fact in changes.facts if fact not in found.facts]
    notes = [*lines[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
    notes += [f"{fact.name}: {fact.before} → {fact.after}" for fact in libraries]
    return Diagnostic(
        code="HQ863",
        severity="error",
        message=f"'{build.name}' would differ from its lock: {lines[0]}",
        span=build.span,
        labels=(_place(path),),
        notes=tuple(notes) if len(notes) > 1 else (),
        help="undo the change, or build without `--locked` and commit the new lock",
    )


def _without_echo(found: Changes) -> Changes:
    """Return the changes without the digest of the resolved spec, where something says better what moved it."""
    causes = [fact for fact in found.facts if _explains(fact)]
    facts = tuple(f for f in found.facts if f.name != "resolved spec" or not causes)
    return found.replace(facts=facts)


def _explains(fact: FactChange) -> bool:
    return fact.name.startswith(("spec ", "--set ", "version ", "constraint "))


def _absent(path: Path, build: Build) -> Diagnostic:
    return Diagnostic(
        code="HQ862",
        severity="error",
        message=f"there is no lock for '{build.name}' in '{path}'",
        span=build.span,
        help="build once without `--locked` and commit the lock",
    )


def _place(path: Path) -> Label:
    span = Span(file=str(path), line=0, column=0, end_line=0, end_column=0)
    return Label(span=span, message="")
