"""What every command shares: options, how findings are shown, exit statuses.

Exit status: 0 fine; 1 the spec is wrong or cannot be met, or a check failed; 2 misuse or a failure
of the tool.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar, cast

import typer

from hawqlang.diagnostics import Diagnostic, HawqError, ToolError

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")
R = TypeVar("R")


class Format(StrEnum):
    """Shape of a command's result."""

    text = "text"
    json = "json"


class CheckFormat(StrEnum):
    """Shape of ``check``'s findings."""

    text = "text"
    json = "json"
    sarif = "sarif"
    github = "github"


SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Give a param of the spec a value."),
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Allow the spec to run Python code (`python(…)`).")
]
LockedOption = Annotated[
    bool,
    typer.Option("--locked", help="Fail where the result would differ from the lock."),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="The folder that nothing in a spec may lead out of, imports and data alike.",
        exists=True,
        file_okay=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Shape of the result.")]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for artifacts.")]
SpecArgument = Annotated[
    str,
    typer.Argument(metavar="FILE[:NAME]", help="A spec, or one build of it.", show_default=False),
]
ArtifactArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="An artifact folder: build/NAME.", show_default=False)
]


PIPE_WIDTH = 120
"""Columns of output that goes to a file or a pipe."""


class _Console:
    """A console that is made when something is first printed: `check` starts without it."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            stream = sys.stderr if self._settings.get("stderr") else sys.stdout
            # A file or pipe has no width of its own: nothing is cut off there.
            width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
            self._made = import_module("rich.console").Console(width=width, **self._settings)
            self._made.on_broken_pipe = _reader_gone
        return getattr(self._made, name)


def _reader_gone() -> NoReturn:
    """Let the command see that the reader of a pipe has gone; the console alone would end it with status 1."""
    raise BrokenPipeError


stdout = cast("Console", _Console(highlight=False))
stderr = cast("Console", _Console(stderr=True, highlight=False))


def overrides(settings: Iterable[str] | None) -> dict[str, str]:
    """Return ``--set`` options as a mapping; one without ``=`` is misuse."""
    result: dict[str, str] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise ToolError(
                Diagnostic(
                    code="HQ820",
                    severity="error",
                    message=f"`--set {setting}` is not NAME=VALUE",
                    help="write `--set budget='6 MiB'`",
                )
            )
        result[name.strip()] = value.strip()
    return result


def split_build(argument: str) -> tuple[Path, str | None]:
    """Return the file and the build name of ``FILE[:NAME]``."""
    path = Path(argument)
    if path.exists() or ":" not in argument:
        return path, None
    file, _, name = argument.rpartition(":")
    return Path(file), name or None


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def show(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str] | None = None) -> None:
    """Print findings for people, on standard error; ``sources`` are texts that no file holds."""
    from hawqlang.diagnostics.render import render_text

    found = tuple(diagnostics)
    if found:
        texts = quotable(found) if sources is None else sources
        text = render_text(found, texts, color=stderr.is_terminal and not stderr.no_color)
        sys.stderr.write(text if text.endswith("\n") else text + "\n")


def quotable(diagnostics: Iterable[Diagnostic]) -> dict[str, str]:
    """Return the text of every spec that the diagnostics point into; no other file is ever quoted."""
    spans = [span for d in diagnostics for span in (d.span, *(label.span for label in d.labels))]
    texts: dict[str, str] = {}
    for name in {span.file for span in spans if span is not None and span.file.endswith(".hawq")}:
        try:
            texts[name] = Path(name).read_bytes().decode("utf-8-sig", errors="replace")
        except OSError:
            continue
    return texts


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command so that every failure ends in a diagnostic and an exit status, never a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ToolError as error:
            show(error.diagnostics)
            raise typer.Exit(2) from None
        except HawqError as error:
            show(error.diagnostics)
            raise typer.Exit(1) from None
        except typer.Exit:
            raise
        except BrokenPipeError:
            _quiet_exit()
        except KeyboardInterrupt:
            stderr.print("interrupted; finished steps are cached, the same command resumes")
            raise typer.Exit(130) from None
        except OSError as error:
            show((_os_failure(error),))
            raise typer.Exit(2) from None
        except Exception as error:  # noqa: BLE001 - the outermost net: a defect becomes a report
            show((_defect(error),))
            raise typer.Exit(2) from None

    return run


def _quiet_exit() -> NoReturn:
    """End without noise when the reader of a pipe has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(0)


def _os_failure(error: OSError) -> Diagnostic:
    where = f" '{error.filename}'" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Diagnostic(
            code="HQ821",
            severity="error",
            message=f"the disk is full: cannot write{where}",
            help="free some space and run the same command again; nothing half-written was left",
        )
    return Diagnostic(
        code="HQ822",
        severity="error",
        message=f"the system refused{where}: {error.strerror or error}",
        help="check that the path exists and that you may read and write it",
    )


def _defect(error: Exception) -> Diagnostic:
    """Return the report of a defect of the compiler; its traceback goes into a file."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="hawqc-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write("".join(traceback.format_exception(error)))
    return Diagnostic(
        code="HQ899",
        severity="error",
        message=f"hawqc met a defect of its own: {type(error).__name__}: {error}",
        notes=(f"the details are in {log.name}",),
        help="please report it with that file; your spec is not at fault",
    )
