"""`hawqc explain CODE`: a diagnostic at length."""

from __future__ import annotations

from typing import Annotated

import typer

from hawqlang.cli.common import guarded, stdout
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.diagnostics.catalogue import entries, entry
from hawqlang.diagnostics.suggest import nearest


@guarded
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="HQ501; all codes when left out.")
    ] = None,
) -> None:
    """Explain a diagnostic: why it is one, a spec that causes it, the same spec mended."""
    if code is None:
        for known in entries():
            stdout.print(f"{known.code}  {known.title}", markup=False)
        return
    found = entry(code.upper())
    if found is None:
        near = ", ".join(nearest(code.upper(), [known.code for known in entries()]))
        raise ToolError(
            Diagnostic(
                code="HQ826",
                severity="error",
                message=f"there is no diagnostic '{code}'",
                help=f"near it: {near}" if near else "`hawqc explain` lists all",
            )
        )
    stdout.print(f"[bold]{found.code}[/bold]: {found.title}\n")
    stdout.print(found.cause.strip() + "\n", markup=False)
    for title, text in (("Wrong", found.example), ("Right", found.mended)):
        if text.strip():
            stdout.print(f"[bold]{title}[/bold]\n")
            _print_code("\n".join("    " + line for line in text.strip().splitlines()) + "\n")


def _print_code(text: str) -> None:
    """Print a spec, in colours where a terminal shows them."""
    if not stdout.is_terminal or stdout.no_color:
        stdout.print(text, markup=False)
        return
    from rich.syntax import Syntax

    from hawqlang.highlight import HawqLexer

    stdout.print(Syntax(text, HawqLexer(), theme="ansi_dark", background_color="default"))
