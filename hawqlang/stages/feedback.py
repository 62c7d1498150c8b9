"""What a step tells while it runs: how far it is, and what its reader should know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hawqlang.diagnostics import Diagnostic


def _quiet(_done: int, _total: int) -> None:
    """Show nothing."""


def _deaf(_diagnostic: Diagnostic) -> None:
    """Keep nothing."""


def _mute(_what: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Callbacks; errors are raised, never reported here."""

    progress: Callable[[int, int], None] = _quiet
    """Gets units done and units in all."""
    report: Callable[[Diagnostic], None] = _deaf
    """Gets warnings and notes."""
    doing: Callable[[str], None] = _mute
    """Gets what is being worked on: a layer's name."""
