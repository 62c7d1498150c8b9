"""`hawqc lsp`: the language server, for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from hawqlang.cli.common import guarded
from hawqlang.diagnostics import Diagnostic, ToolError


@guarded
def lsp(
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Talk over standard input and output, as always.")
    ] = True,
) -> None:
    """Serve an editor over standard input and output: findings while typing, hover, completion, rename and more.

    Reads specs and the structure of models, as `check` does; runs nothing that a spec names. An editor starts it.
    """
    del stdio
    try:
        from hawqlang.lsp.server import serve
    except ModuleNotFoundError as error:
        raise ToolError(
            Diagnostic(
                code="HQ885",
                severity="error",
                message=f"the language server needs the package `{error.name}`",
                help="pip install 'hawqc[lsp]'",
            )
        ) from None
    serve()
