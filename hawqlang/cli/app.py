"""The `hawqc` command: its commands in the order in which one meets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated

import typer

from hawqlang import __version__

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

_SPECS, _ARTIFACTS, _REFERENCE = "Specs", "Artifacts", "Reference"
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "init": (_SPECS, "init:init", "Write a starter spec that builds as it stands."),
    "check": (_SPECS, "check:check", "Find every mistake; prove the constraints can be met."),
    "fmt": (_SPECS, "fmt:fmt", "Put specs into their one layout."),
    "show": (_SPECS, "show:show", "Print the resolved spec."),
    "plan": (_SPECS, "plan:plan", "Choose every layer's precision, and prove the choice."),
    "pareto": (_SPECS, "pareto:pareto", "Everything that can be had of two metrics, proven."),
    "profile": (
        _SPECS,
        "profile:profile",
        "Time every layer on this machine, for `plan` and `build`.",
    ),
    "build": (_SPECS, "build:build", "Build the integer library: the main job."),
    "diff": (_SPECS, "diff:diff", "Compare specs, locks, plans, artifacts or revisions."),
    "verify": (
        _ARTIFACTS,
        "verify:verify",
        "Prove an artifact: bit-exact, integer-only, overflow-free.",
    ),
    "eval": (_ARTIFACTS, "evaluate:evaluate", "Integer accuracy beside FP32."),
    "run": (_ARTIFACTS, "run:run", "Run an artifact on one input."),
    "bench": (
        _ARTIFACTS,
        "bench:bench",
        "Latency, whole and per step, beside the float network.",
    ),
    "targets": (_REFERENCE, "targets:targets", "List the device catalogue."),
    "schema": (_REFERENCE, "schema:schema", "Print the JSON Schema of a spec, or of findings."),
    "lsp": (_REFERENCE, "lsp:lsp", "Serve an editor: findings, completion, rename and more."),
    "explain": (_REFERENCE, "explain:explain", "Explain a diagnostic."),
}
"""Panel, module and function, and one line of help of every command, in the order of the help page."""


def make_app(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the application with the given commands; only their modules are imported."""
    app = typer.Typer(
        help=HELP,
        rich_markup_mode="rich",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in commands:
        panel, place, line = COMMANDS[name]
        module, _, function = place.partition(":")
        command = getattr(import_module(f"hawqlang.cli.{module}"), function)
        app.command(name, rich_help_panel=panel, short_help=line)(command)
    return app


def run(arguments: Sequence[str]) -> None:
    """Run the command line; a known command starts without the modules of the others."""
    first = next((word for word in arguments if not word.startswith("-")), "")
    app = make_app((first,) if first in COMMANDS else COMMANDS)
    app(args=list(arguments), prog_name="hawqc")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hawqc {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Read global options."""
