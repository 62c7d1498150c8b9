"""Read and write ``SPEC.hawq.lock``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hawqlang.base import Frozen
from hawqlang.cache import write_atomic
from hawqlang.diagnostics import Diagnostic
from hawqlang.exclusive import exclusive
from hawqlang.ir.lock import Entry, Lock
from hawqlang.stages.lock.text import parse, render


def read_lock(path: Path) -> Lock:
    """Return the lock at ``path``; an empty one where there is none.

    Raises:
        HawqError: It is damaged (HQ860) or of a newer version (HQ861).
    """
    try:
        return parse(path, Lock, "lock")
    except FileNotFoundError:
        return Lock()


class Unwritable(Frozen):
    """The lock could not be written."""

    warning: Diagnostic


def keep(path: Path, name: str, entry: Entry, known: Collection[str]) -> bool | Unwritable:
    """Put the entry of one build into the lock; return whether that changed it.

    Other builds keep their entries, those of processes that end at the same instant too; entries that the spec no
    longer has are dropped. An entry that differs in the versions of libraries alone stays as it was: it says which
    ones measured and decided.

    Args:
        path: The lock.
        name: The build.
        entry: What is now known of it.
        known: The names of all builds of the spec.

    Raises:
        HawqError: The lock is damaged or of a newer version; it is left alone.
    """
    with exclusive(path.parent):
        return _put(path, name, entry, known)


def _put(path: Path, name: str, entry: Entry, known: Collection[str]) -> bool | Unwritable:
    found = dict(read_lock(path).builds)
    before = found.get(name)
    entries = {build: one for build, one in found.items() if build in known}
    entries[name] = before if before is not None and _same_result(before, entry) else entry
    text = render(Lock(builds=tuple(sorted(entries.items()))))
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return False
        write_atomic(path, text.encode())
    except OSError as error:
        return Unwritable(warning=_unwritable(path, error))
    return True


def _same_result(before: Entry, after: Entry) -> bool:
    """Return whether two entries differ in nothing but the versions of libraries."""
    if before.origin.versions[:1] != after.origin.versions[:1]:
        return False
    return before.replace(origin=before.origin.replace(versions=after.origin.versions)) == after


def _unwritable(path: Path, error: OSError) -> Diagnostic:
    return Diagnostic(
        code="HQ864",
        severity="warning",
        message=f"the lock '{path}' could not be written: {error.strerror or error}",
        help="the artifact is complete; make the folder writable and build again to keep the lock",
    )
