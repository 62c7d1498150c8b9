"""`hawqc fmt`: the one layout of specs."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hawqlang.atomic import rewrite
from hawqlang.cli.common import guarded, show
from hawqlang.cli.files import named_specs
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.stages.format import format_bytes
from hawqlang.stages.parse.read import MAX_BYTES, read_bytes

_INPUT = "-"


@guarded
def fmt(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|FOLDER|-…",
            help="Specs, folders of specs, or - for standard input.",
            show_default=False,
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with status 1 if anything would.")
    ] = False,
    diff: Annotated[
        bool,
        typer.Option("--diff", help="Write nothing; print what would change, status as --check."),
    ] = False,
    stdin_name: Annotated[
        str,
        typer.Option("--stdin-name", metavar="FILE", help="How diagnostics call standard input."),
    ] = "<stdin>",
) -> None:
    """Put specs into their one layout. Comments and groups of lines survive; the meaning never changes.

    A file with syntax errors is left as it is, and its errors are printed. A file is replaced whole or not at all.
    """
    if _INPUT in files:
        _only_input(files)
        changes = [_Change(stdin_name, sys.stdin.buffer.read(MAX_BYTES + 1), None)]
    else:
        paths = [path for path, _ in named_specs(files)]
        changes = [_Change(str(path), read_bytes(path, str(path)), path) for path in paths]
    counts = {True: 0, False: 0, None: 0}
    for change in changes:
        counts[_format(change, check=check, diff=diff)] += 1
    if _INPUT not in files:
        sys.stderr.write(_summary(counts[True], counts[False], counts[None], check or diff))
    if counts[None] or (counts[True] and (check or diff)):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Change:
    """A text to format and the file it goes to; standard output where there is none."""

    shown: str
    before: bytes
    path: Path | None


def _only_input(files: list[str]) -> None:
    if len(files) > 1:
        raise ToolError(
            Diagnostic(
                code="HQ881",
                severity="error",
                message="`-` cannot be formatted together with other files",
                help="run `hawqc fmt` once for each",
            )
        )


def _format(change: _Change, *, check: bool, diff: bool) -> bool | None:
    """Return whether a text changed or would; ``None`` where it has errors, which are shown."""
    done = format_bytes(change.before, change.shown)
    if done.text is None:
        text = change.before[:MAX_BYTES].decode("utf-8-sig", errors="replace")
        show(done.diagnostics, {change.shown: text})
        return None
    after = done.text.encode()
    changed = after != change.before
    if diff:
        sys.stdout.write(_difference(change.shown, change.before, done.text))
    elif change.path is None:
        if not check:
            sys.stdout.buffer.write(after)
    elif changed:
        if not check:
            rewrite(change.path, after)
        sys.stdout.write(f"{'would format' if check else 'formatted'} {change.shown}\n")
    return changed


def _difference(name: str, before: bytes, after: str) -> str:
    """Return a unified diff."""
    lines = difflib.unified_diff(
        before.decode("utf-8").splitlines(keepends=True),
        after.splitlines(keepends=True),
        name,
        name,
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _summary(changed: int, same: int, wrong: int, dry: bool) -> str:
    parts = [
        f"{changed} {'would be formatted' if dry else 'formatted'}" if changed else "",
        f"{same} as they should be" if same else "",
        f"{wrong} with errors, left as they are" if wrong else "",
    ]
    files = changed + same + wrong
    return f"{files} file{'s' * (files != 1)}: {', '.join(filter(None, parts))}\n"
