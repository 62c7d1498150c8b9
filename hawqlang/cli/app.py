"""The `hawqc` command: its commands in the order in which one meets them."""

from __future__ import annotations

from typing import Annotated

import typer

from hawqlang import __version__
from hawqlang.cli.bench import bench
from hawqlang.cli.build import build
from hawqlang.cli.check import check
from hawqlang.cli.evaluate import evaluate
from hawqlang.cli.explain import explain
from hawqlang.cli.init import init
from hawqlang.cli.plan import plan
from hawqlang.cli.run import run
from hawqlang.cli.show import show
from hawqlang.cli.targets import targets
from hawqlang.cli.verify import verify

HELP = """
Compile a network to integers: a [bold].hawq[/bold] spec in, a proven library out.

A spec says what to deploy and what must hold; hawqc chooses every layer's precision, proves the
choice, generates
code and checks that it computes exactly what the integer program says.

[bold]Start here[/bold]

  hawqc init digits            a spec, a model and data that build as they stand
  hawqc check digits/*.hawq    every mistake, with line and remedy; fit for CI
  hawqc build digits/digits.hawq
  hawqc verify build/digits    bit-exact, integer-only, overflow-free
  hawqc eval build/digits      integer accuracy beside FP32

Exit status: 0 fine, 1 the spec is wrong or cannot be met, 2 misuse or a failure of the tool.
"""

app = typer.Typer(
    help=HELP,
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hawqc {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Read global options."""


_SPEC, _ARTIFACT, _KNOW = "Specs", "Artifacts", "Reference"
app.command(rich_help_panel=_SPEC)(init)
app.command(rich_help_panel=_SPEC)(check)
app.command(rich_help_panel=_SPEC)(show)
app.command(rich_help_panel=_SPEC)(plan)
app.command(rich_help_panel=_SPEC)(build)
app.command(rich_help_panel=_ARTIFACT)(verify)
app.command("eval", rich_help_panel=_ARTIFACT)(evaluate)
app.command(rich_help_panel=_ARTIFACT)(run)
app.command(rich_help_panel=_ARTIFACT)(bench)
app.command(rich_help_panel=_KNOW)(targets)
app.command(rich_help_panel=_KNOW)(explain)
