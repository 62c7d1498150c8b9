"""`hawqc explain CODE`: a diagnostic at length."""

from __future__ import annotations

from typing import Annotated

import typer

from hawqlang.cli.common import guarded, stdout
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.diagnostics.catalogue import entries
from hawqlang.diagnostics.suggest import nearest


@guarded
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="HQ501; all codes when left out.")
    ] = None,
) -> None:
    """Explain a diagnostic: why it is one, a spec that causes it, the same spec mended."""
    known = entries()
    if code is None:
        for entry in known.values():
            stdout.print(f"{entry.code}  {entry.title}", markup=False)
        return
    entry = known.get(code.upper())
    if entry is None:
        near = ", ".join(nearest(code.upper(), list(known)))
        raise ToolError(
            Diagnostic(
                code="HQ826",
                severity="error",
                message=f"there is no diagnostic '{code}'",
                help=f"near it: {near}" if near else "`hawqc explain` lists all",
            )
        )
    stdout.print(f"[bold]{entry.code}[/bold]: {entry.title}\n")
    stdout.print(entry.cause.strip() + "\n", markup=False)
    for title, text in (("Wrong", entry.example), ("Right", entry.mended)):
        if text.strip():
            stdout.print(f"[bold]{title}[/bold]\n")
            stdout.print(
                "\n".join("    " + line for line in text.strip().splitlines()) + "\n", markup=False
            )
