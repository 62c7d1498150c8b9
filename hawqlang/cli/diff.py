"""`hawqc diff`: what differs between two specs, locks, saved plans, artifacts or revisions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hawqlang.cli.common import (
    Format,
    FormatOption,
    SetOption,
    TrustOption,
    guarded,
    overrides,
    print_json,
    split_build,
    stdout,
)
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.changes import Changes

if TYPE_CHECKING:
    from hawqlang.stages.diff.report import Difference, Restated
    from hawqlang.stages.diff.sides import Side

_SIDE = "A spec, one build of it, a lock, a saved plan, or an artifact folder."


@guarded
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE, show_default=False)],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="The other one.", show_default=False)
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="REV", help="Compare A with itself at a git revision."),
    ] = None,
    set_: SetOption = None,
    trust: TrustOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 1 where anything differs.")
    ] = False,
    format_: FormatOption = Format.text,
) -> None:
    """Show what differs in precision, size, work, latency and accuracy, and in what went in.

    Nothing is measured or solved: a spec's allocation is the one in its lock.
    """
    from hawqlang.stages.diff.report import difference, difference_json

    if (b is None) == (against is None):
        raise ToolError(
            Diagnostic(
                code="HQ871",
                severity="error",
                message="`diff` compares two things: A and B, or A and a revision",
                help="write `hawqc diff A B`, or `hawqc diff A --against HEAD`",
            )
        )
    settings = overrides(set_)
    after = _side(a if b is None else b, settings, trust=trust)
    before = (
        _side(a, settings, trust=trust)
        if against is None
        else _revision(a, against, settings, trust=trust)
    )
    found = difference(before, after)
    if format_ is Format.json:
        print_json(difference_json(found))
    else:
        _print(found)
    if exit_code and not found.none():
        raise typer.Exit(1)


def _side(argument: str, settings: dict[str, str], *, trust: bool) -> Side:
    from hawqlang.stages.diff.sides import Request, read_side

    path, build = split_build(argument)
    if not path.exists():
        raise ToolError(_absent(path))
    return read_side(Request(path, build, argument, settings, trust))


def _revision(argument: str, revision: str, settings: dict[str, str], *, trust: bool) -> Side:
    """Return what ``argument`` named at a revision."""
    from hawqlang.stages.diff.revision import at_revision
    from hawqlang.stages.diff.sides import Request, read_side

    path, build = split_build(argument)
    label = f"{argument} at {revision}"
    with tempfile.TemporaryDirectory(prefix="hawqc-") as folder:
        then = at_revision(path, revision, Path(folder))
        try:
            return read_side(Request(then, build, label, settings, trust, Path(folder).resolve()))
        except HawqError as error:
            raise type(error)(*(_of_then(one, label) for one in error.diagnostics)) from error


def _of_then(found: Diagnostic, label: str) -> Diagnostic:
    """Return a diagnostic on a file of a revision, without the place it was copied to."""
    line = "" if found.span is None or not found.span.line else f", line {found.span.line}"
    return found.replace(message=f"{label}{line}: {found.message}", span=None, labels=(), fix=None)


def _absent(path: Path) -> Diagnostic:
    return Diagnostic(
        code="HQ823",
        severity="error",
        message=f"cannot open '{path}'",
        help="give a .hawq file, its .lock, a saved plan, or an artifact folder",
    )


def _print(found: Difference) -> None:
    for note in found.notes:
        _say(f"note: {note}")
    for name in found.removed:
        _say(f"build {name}: only in {found.before.label}")
    for name in found.added:
        _say(f"build {name}: only in {found.after.label}")
    for one in found.spec:
        _print_statements(one)
    for changes in found.builds:
        _print_changes(changes)
    if found.none():
        _say("no difference")


def _say(text: str, style: str | None = None) -> None:
    """Print a line of which parts come from a file."""
    from hawqlang.diagnostics.render import printable

    stdout.print(printable(text), style=style, markup=False, soft_wrap=True)


def _print_statements(one: Restated) -> None:
    _say(f"spec of {one.build}" if one.build else "spec", "bold")
    for sign, style, lines in (("-", "red", one.removed), ("+", "green", one.added)):
        for line in lines:
            _say(f"{sign} {line}", style)


def _print_changes(changes: Changes) -> None:
    from hawqlang.stages.lock.words import (
        fact_words,
        metric_name,
        metric_words,
        percent_words,
        precision_words,
    )

    if changes.none():
        return
    _say(changes.build, "bold")
    for fact in changes.facts:
        _say(f"  {fact_words(fact)}")
    if changes.layers:
        _table(
            ("layer", "before", "after", "size"),
            (
                (
                    one.layer,
                    *precision_words(one),
                    percent_words(one.size_share) if one.size_bytes else "",
                )
                for one in changes.layers
            ),
        )
    _table(
        ("metric", "before", "after", "difference", ""),
        ((metric_name(one.name), *metric_words(one)) for one in changes.metrics),
    )


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows under their columns; the first is a name, the others are numbers."""
    from rich.table import Table
    from rich.text import Text

    from hawqlang.diagnostics.render import printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    stdout.print(table)
