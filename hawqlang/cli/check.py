"""`hawqc check`: everything that can be found without measuring anything; made for CI."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from hawqlang.cli.checking import Outcome, Request, check_all
from hawqlang.cli.common import (
    CheckFormat,
    LockedOption,
    RootOption,
    SetOption,
    TrustOption,
    guarded,
    overrides,
    quotable,
)
from hawqlang.cli.files import named_specs
from hawqlang.cli.fixing import apply_to_files, is_fixable
from hawqlang.diagnostics import Diagnostic, ToolError

ROUNDS = 10
"""A fix may bring to light what it hid; after so many rounds the rest is left to the reader."""


@guarded
def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[:NAME]|FOLDER…", help="Specs, or folders of specs.", show_default=False
        ),
    ],
    set_: SetOption = None,
    trust: TrustOption = False,
    locked: LockedOption = False,
    root: RootOption = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend in the files what can be mended for sure.")
    ] = False,
    guess: Annotated[
        bool,
        typer.Option("--guess", help="With --fix: also what was only probably meant, as a name."),
    ] = False,
    format_: Annotated[
        CheckFormat, typer.Option("--format", help="Shape of the findings.")
    ] = CheckFormat.text,
) -> None:
    """Parse, resolve and type specs, and prove that their constraints can be met, as far as nothing need be measured.

    Reads no weights and no data, runs nothing, imports neither torch nor tvm: safe on an untrusted pull request.
    With --locked it reads both, to see whether they are those of the lock. A spec is checked again only when it, or
    something it depends on, has changed. --fix writes only into the files given, each whole or not at all.
    """
    from hawqlang.diagnostics.formats import render

    given = overrides(set_)
    requests = [
        Request(
            path=str(path),
            name=name,
            overrides=tuple(given.items()),
            trust=trust,
            root=None if root is None else str(root),
            locked=locked,
        )
        for path, name in named_specs(files)
    ]
    outcomes, fixed = _mended(requests, guess=guess) if fix else (check_all(requests), [])
    for outcome in outcomes:
        if outcome.misuse:
            raise ToolError(*outcome.diagnostics)
    found = list(dict.fromkeys(d for outcome in outcomes for d in outcome.diagnostics))
    text = render(
        found,
        quotable(found),
        format_.value,
        color=format_ is CheckFormat.text and sys.stdout.isatty(),
        fixed=fixed if fix else None,
    )
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    if format_ is CheckFormat.text:
        sys.stderr.write(_summary(len({one.path for one in requests}), found, fixed))
    if any(d.severity == "error" for d in found):
        raise typer.Exit(1)


def _mended(requests: Sequence[Request], *, guess: bool) -> tuple[list[Outcome], list[Diagnostic]]:
    """Return what is left after fixing, and what was fixed."""
    fixed: list[Diagnostic] = []
    outcomes = check_all(requests)
    editable = frozenset(one.path for one in requests)
    for _ in range(ROUNDS):
        found = dict.fromkeys(d for outcome in outcomes for d in outcome.diagnostics)
        done = apply_to_files(tuple(found), editable, guess=guess)
        if not done:
            break
        fixed += done
        outcomes = check_all(requests)
    return outcomes, fixed


def _summary(files: int, found: Sequence[Diagnostic], fixed: Sequence[Diagnostic]) -> str:
    """Return what was fixed, line by line, and how much was found."""
    lines = [f"fixed {d.span}: {d.code} {d.message}\n" for d in fixed]
    counts = Counter(d.severity for d in found)
    words = {"error": "error", "warning": "warning", "note": "note"}
    parts = [
        f"{counts[severity]} {word}{'s' * (counts[severity] != 1)}"
        for severity, word in words.items()
        if counts[severity]
    ]
    fixable = sum(is_fixable(d, guess=False) for d in found)
    hint = f"; `--fix` mends {fixable} of them" if fixable and not fixed else ""
    what = f"{files} file{'s' * (files != 1)} checked"
    return "".join(lines) + f"{what}: {', '.join(parts) or 'no findings'}{hint}\n"
