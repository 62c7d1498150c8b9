"""The machine's compilers: which there are, and what one says when it fails."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hawqlang.diagnostics import Diagnostic, HawqError

MOST_WORDS = 4000
"""Characters of a compiler's own words that a diagnostic repeats."""


def candidates(variable: str, names: Sequence[str]) -> list[list[str]]:
    """Return the commands to try: that of the environment variable where it is set, else each name."""
    chosen = os.environ.get(variable)
    return [shlex.split(chosen)] if chosen else [[name] for name in names]


def first_there(commands: Sequence[list[str]]) -> list[str] | None:
    """Return the first command whose program is on this machine."""
    return next((c for c in commands if c and shutil.which(c[0])), None)


def shown(commands: Sequence[list[str]]) -> str:
    """Return the commands as a note lists them."""
    return ", ".join(" ".join(command) for command in commands)


def call(command: Sequence[str], folder: Path, *, code: str, name: str, remedy: str) -> None:
    """Run a compiler in a folder.

    Args:
        command: The compiler and its options.
        folder: Where it runs.
        code: Of the diagnostic if it fails.
        name: What the diagnostic calls it.
        remedy: The diagnostic's help.

    Raises:
        HawqError: it failed (``code``), with its own words.
    """
    result = subprocess.run(  # noqa: S603 - the command is the compiler's, the names are ours
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise HawqError(
            Diagnostic(
                code=code,
                severity="error",
                message=f"{name} failed with exit status {result.returncode}",
                notes=(shlex.join(command), result.stderr.strip()[:MOST_WORDS]),
                help=remedy,
            )
        )
