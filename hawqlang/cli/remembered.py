"""What an earlier check of a spec found, as long as nothing it depends on has changed.

A finding depends on the compiler's own files, on the spec and all it imports, on the model, and on
which other files are there. Each is known by its path, size and times, so that recalling reads none
of them. What depends on more, such as a cached measurement, is never kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hawqlang.atomic import write_atomic
from hawqlang.base import Frozen
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.resources import cache_dir, data_dir

if TYPE_CHECKING:
    from hawqlang.ir.spec import Spec

_FRESH = 100_000_000
"""Nanoseconds in which a file may change twice without a trace in its times."""

_UNKEPT = ("HQ3", "HQ4", "HQ8")
"""Codes of what depends on more than is known here; HQ83x alone are of the spec itself."""
_KEPT = frozenset({"HQ830", "HQ831"})


@dataclass(frozen=True, slots=True)
class Request:
    """A spec to check, and how."""

    path: str
    name: str | None
    """The build of it that is meant; all where there is none."""
    overrides: tuple[tuple[str, str], ...] = ()
    trust: bool = False
    root: str | None = None
    locked: bool = False


class _Stored(Frozen):
    """Findings, and the state of every file they depend on."""

    states: tuple[tuple[str, str], ...]
    diagnostics: tuple[Diagnostic, ...]


def moment() -> int:
    """Return the time before which files must have changed last, for what is found from now on to be kept."""
    return time.time_ns() - _FRESH


def recall(request: Request) -> tuple[Diagnostic, ...] | None:
    """Return what an earlier check found, ``None`` where there was none or something has changed."""
    try:
        stored = _Stored.model_validate_json(_place(request).read_bytes())
    except (OSError, ValueError):
        return None
    known = all(_state(path) == state for path, state in stored.states)
    return stored.diagnostics if known else None


def keep(
    request: Request,
    spec: Spec,
    sources: Iterable[str],
    diagnostics: tuple[Diagnostic, ...],
    before: int,
) -> None:
    """Keep what a check found, unless it depends on more than files that have long been as they are.

    Args:
        request: What was checked.
        spec: The resolved spec.
        sources: Every file it was read from, by the name that leads there and with links followed.
        diagnostics: What was found.
        before: What ``moment`` said when the check began.
    """
    if _measured(spec) or any(_is_unkept(found) for found in diagnostics):
        return
    paths = dict.fromkeys(
        [
            request.path,
            *sources,
            *(str(folder / ".git") for folder in _folders(Path(request.path), spec)),
            *_named(spec),
        ]
    )
    states = tuple((path, _state(path)) for path in paths)
    if any(_changed(path) > before for path in paths):
        return
    stored = _Stored(states=states, diagnostics=diagnostics)
    with suppress(OSError):  # a cache that cannot be written costs time, never the result
        write_atomic(_place(request), stored.model_dump_json().encode())


def _is_unkept(found: Diagnostic) -> bool:
    return found.code.startswith(_UNKEPT) and found.code not in _KEPT


def _measured(spec: Spec) -> bool:
    """Return whether a constraint is decided by what an analysis has cached."""
    from hawqlang.stages.feasibility import asks_for_measurements

    return any(asks_for_measurements(build) for build in spec.builds)


def _folders(path: Path, spec: Spec) -> Iterator[Path]:
    """Yield the folders in which the project's root was looked for."""
    folder = Path(os.path.realpath(path.parent))
    yield folder
    for parent in folder.parents:
        if not folder.is_relative_to(spec.root) or folder == Path(spec.root):
            return
        folder = parent
        yield folder


_PATHS = frozenset({"path", "folder", "labels"})


def _named(value: object) -> Iterator[str]:
    """Yield every path that a spec names."""
    if isinstance(value, Frozen):
        for name, inner in value:
            if name in _PATHS and isinstance(inner, str):
                yield inner
            else:
                yield from _named(inner)
    elif isinstance(value, tuple):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _named(inner)  # pyright: ignore[reportUnknownArgumentType]


def _state(path: str) -> str:
    """Return what tells a file from what it was before: where links lead, its size and times."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a path may be no path
        real = os.path.realpath(path)
    except (OSError, ValueError):
        return ""
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        return f"{real} {found.st_mode}"
    return f"{real} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _changed(path: str) -> int:
    """Return when a file changed last, 0 where it is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a path may be no path
    except (OSError, ValueError):
        return 0
    return max(found.st_mtime_ns, found.st_ctime_ns) if os.path.isfile(path) else 0  # noqa: PTH113


# ---- where it is kept ----------------------------------------------------------------------------


def _place(request: Request) -> Path:
    asked = (
        request.path,
        request.name,
        sorted(request.overrides),
        request.trust,
        request.root,
        os.getcwd(),  # noqa: PTH109 - as the operating system says it
    )
    key = hashlib.sha256(json.dumps([_compiler(), asked]).encode()).hexdigest()
    return cache_dir() / "checks" / key[:2] / f"{key}.json"


@functools.cache
def _compiler() -> str:
    """Return what tells this compiler from another: the names, sizes and times of its files."""
    digest = hashlib.sha256()
    folders: Sequence[Path] = (
        Path(__file__).parent.parent,
        data_dir("grammar"),
        data_dir("specs") / "std",
    )
    for folder in folders:
        for name, size, changed in sorted(_files(str(folder))):
            digest.update(f"{name}\0{size}\0{changed}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            elif not entry.name.endswith(".pyc"):
                found = entry.stat()
                yield entry.path, found.st_size, found.st_mtime_ns
