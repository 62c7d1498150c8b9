"""The specs that the arguments of a command name: files, and folders for all specs below them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hawqlang.cli.common import split_build
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.resources import specs_below


def named_specs(arguments: Iterable[str]) -> tuple[tuple[Path, str | None], ...]:
    """Return every spec that ``FILE[:NAME]`` arguments and folders name, each once, in their order.

    Raises:
        ToolError: A path names nothing, or a folder without specs.
    """
    found: dict[tuple[Path, str | None], None] = {}
    for argument in arguments:
        path, name = split_build(argument)
        if path.is_dir() and name is None:
            found |= dict.fromkeys((spec, None) for spec in _below(path))
        else:
            found[existing(path), name] = None
    return tuple(found)


def existing(path: Path) -> Path:
    """Return the path of a file.

    Raises:
        ToolError: There is no file.
    """
    try:
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if there:
        return path
    raise ToolError(
        Diagnostic(
            code="HQ823",
            severity="error",
            message=f"cannot open '{path}'",
            help="give the path of a .hawq file; `hawqc init` writes one",
        )
    )


def _below(folder: Path) -> tuple[Path, ...]:
    """Return the specs below a folder."""
    specs = tuple(path for path in specs_below(folder) if path.is_file())
    if specs:
        return specs
    raise ToolError(
        Diagnostic(
            code="HQ880",
            severity="error",
            message=f"no `.hawq` file is below '{folder}'",
            help="name a folder with specs, or a spec",
        )
    )
