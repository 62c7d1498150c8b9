"""SyntaxTree → Spec: names resolved, units converted, defaults filled in.

One run finds every independent error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from hawqlang.diagnostics import Diagnostic
from hawqlang.diagnostics.ignore import apply_ignores
from hawqlang.ir.spec import Spec
from hawqlang.ir.syntax import IgnoreComment
from hawqlang.stages.resolve.assemble import Given, assemble
from hawqlang.stages.resolve.existence import MISSING_FILE_CODES, missing_files
from hawqlang.stages.resolve.files import DISK, Reader, load
from hawqlang.stages.resolve.index import Index
from hawqlang.stages.resolve.report import Sink

if TYPE_CHECKING:
    from hawqlang.stages.resolve.memory import Memory

__all__ = ["MISSING_FILE_CODES", "Resolution", "missing_files", "resolve", "resolve_file"]

MAX_FINDINGS = 200
"""So many findings of one spec are reported; nobody reads more."""

_NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Resolution:
    """What resolving a file gives."""

    spec: Spec | None
    """``None`` where there are errors."""
    diagnostics: tuple[Diagnostic, ...]
    """Everything found, the main file's first, each file's in the order of its text."""
    sources: Mapping[str, str]
    """The text of every file read, by the name that spans give it: what a renderer may quote."""
    files: tuple[Path, ...]
    """Every file read, links followed."""
    index: Index
    """What was learned on the way, also where there are errors."""


def resolve_file(
    path: Path,
    *,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    root: Path | None = None,
    trust: bool = False,
) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    """Return the resolved spec, ``None`` where it has errors, and everything found in one run.

    Args:
        path: The main file; its diagnostics show it as given here.
        overrides: ``--set`` values by param, as typed.
        root: The folder imports may not leave; by default the nearest one above with a ``.git``.
        trust: Whether ``python(…)`` is allowed.

    Raises:
        ToolError: where the file cannot be read or an override names no param.
    """
    found = resolve(path, overrides=overrides, root=root, trust=trust)
    return found.spec, found.diagnostics


def resolve(
    path: Path,
    *,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    root: Path | None = None,
    trust: bool = False,
    reader: Reader = DISK,
    memory: Memory | None = None,
) -> Resolution:
    """Return what ``resolve_file`` returns, with the texts that diagnostics may quote.

    ``reader`` says where specs come from; an editor has some that differ from the files on disk. With a ``memory``
    builds that did not change since its last run are not resolved again.
    """
    sink, index = Sink(), Index()
    main, home = load(path, root, sink, reader)
    spec = assemble(main, home, Given(overrides, trust), sink, index, memory)
    files = tuple(main.reached())
    comments = tuple(comment for file in files for comment in file.tree.ignores)
    here, later = _split(comments)
    kept = apply_ignores(sink.diagnostics, here, judge="" if sink.partial or sink.errors else "12")
    order = {file.shown: n for n, file in enumerate((main, *files))}
    return Resolution(
        spec=None if sink.errors else spec.replace(ignores=later),
        diagnostics=_capped(sorted(kept, key=lambda found: _place(found, order))),
        sources={file.shown: file.tree.text for file in files},
        files=tuple(file.real for file in files),
        index=index,
    )


def _capped(found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the first findings, with a count of the others on the last."""
    if len(found) <= MAX_FINDINGS:
        return tuple(found)
    *kept, last = found[:MAX_FINDINGS]
    more = found[MAX_FINDINGS:]
    errors = sum(d.severity == "error" for d in more)
    note = f"{len(more)} further findings are not shown, {errors} of them errors"
    if errors and not any(d.severity == "error" for d in (*kept, last)):
        last = next(d for d in more if d.severity == "error")
    return (*kept, last.replace(notes=(*last.notes, note)))


def _place(found: Diagnostic, order: Mapping[str, int]) -> tuple[int, int, int]:
    if found.span is None:
        return (-1, 0, 0)
    return (order.get(found.span.file, len(order)), found.span.line, found.span.column)


def _split(
    comments: tuple[IgnoreComment, ...],
) -> tuple[tuple[IgnoreComment, ...], tuple[IgnoreComment, ...]]:
    """Return the comments with the codes settled here, and with those left to later steps."""
    here: list[IgnoreComment] = []
    later: list[IgnoreComment] = []
    for comment in comments:
        settled = tuple(code for code in comment.codes if _is_settled(code))
        others = tuple(code for code in comment.codes if not _is_settled(code))
        if settled:
            here.append(comment.replace(codes=settled))
        if others:
            later.append(comment.replace(codes=others))
    return tuple(here), tuple(later)


def _is_settled(code: str) -> bool:
    """Return whether every warning of a code is known, and final, once a spec is resolved."""
    return code[:3] in ("HQ1", "HQ2") and code not in MISSING_FILE_CODES
