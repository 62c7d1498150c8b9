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

A spec says what to deploy and what must hold. hawqc chooses every layer's
precision, proves the choice, generates code, and checks that the code computes
exactly what the integer program says.

[bold]Start here[/bold]

  hawqc init mine                a spec, a model and data
  hawqc check mine/mine.hawq     every mistake, with line and remedy
  hawqc build mine/mine.hawq     the library, in build/digits
  hawqc verify build/digits      bit-exact, integer-only, overflow-free
  hawqc eval build/digits        integer accuracy beside FP32

Exit status: 0 fine; 1 the spec is wrong or cannot be met, or a proof failed;
2 misuse, or a failure of the tool.
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
_COMMANDS = (
    (_SPEC, "init", init, "Write a starter spec that builds as it stands."),
    (_SPEC, "check", check, "Find every mistake; prove the constraints can be met."),
    (_SPEC, "show", show, "Print the resolved spec."),
    (_SPEC, "plan", plan, "Choose every layer's precision, and prove the choice."),
    (_SPEC, "build", build, "Build the integer library: the main job."),
    (_ARTIFACT, "verify", verify, "Prove an artifact: bit-exact, integer-only, overflow-free."),
    (_ARTIFACT, "eval", evaluate, "Integer accuracy beside FP32."),
    (_ARTIFACT, "run", run, "Run an artifact on one input."),
    (_ARTIFACT, "bench", bench, "Latency, whole and per step, beside the float network."),
    (_KNOW, "targets", targets, "List the device catalogue."),
    (_KNOW, "explain", explain, "Explain a diagnostic."),
)
for _panel, _name, _command, _short in _COMMANDS:
    app.command(_name, rich_help_panel=_panel, short_help=_short)(_command)
