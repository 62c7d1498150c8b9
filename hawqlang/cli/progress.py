"""Progress for people: a line per step on standard error, live where that is a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hawqlang.progress import Advance


class Terminal:
    """Shows each step with its bar while it runs and one line with its time when it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._describe: Callable[[str], None] | None = None

    @contextmanager
    def step(self, title: str) -> Generator[Advance]:
        """Show ``title`` until the block ends."""
        begin = time.perf_counter()
        if not self._console.is_terminal:
            yield lambda done, total: None
            self._done(title, begin)
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(title, total=None)
            self._describe = lambda what: bar.update(task, description=f"{title}: {what}")
            yield lambda done, total: bar.update(task, completed=done, total=total or None)
            self._describe = None
        self._done(title, begin)

    def _done(self, title: str, begin: float) -> None:
        self._console.print(f"  {title:<44} {time.perf_counter() - begin:7.2f} s", markup=False)

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(f"  {text}", markup=False, soft_wrap=True)

    def doing(self, what: str) -> None:
        """Show what the running step works on beside its title."""
        if self._describe is not None:
            self._describe(what)
