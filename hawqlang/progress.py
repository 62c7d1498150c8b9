"""How a long step says where it is; the command line shows it, libraries stay silent."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int, int], None]
"""Called with (done, total); total 0 means unknown."""


class Progress(Protocol):
    """Shows steps as they run."""

    def step(self, title: str) -> AbstractContextManager[Advance]:
        """Open a step called ``title`` and give the function that advances it."""
        ...

    def note(self, text: str) -> None:
        """Say one line between steps."""
        ...

    def doing(self, what: str) -> None:
        """Say what the running step works on, in place of what was said before."""
        ...


class Silent:
    """Progress that shows nothing."""

    @contextmanager
    def step(self, title: str) -> Generator[Advance]:
        """Give a function that does nothing."""
        del title
        yield lambda done, total: None

    def note(self, text: str) -> None:
        """Drop the line."""
        del text

    def doing(self, what: str) -> None:
        """Drop it."""
        del what
