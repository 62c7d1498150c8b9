"""What a run of the pipeline carries beside its values: the cache, the progress, the clock."""

from __future__ import annotations

import resource
import time
from collections.abc import Generator
from contextlib import contextmanager

from hawqlang.cache import Cache
from hawqlang.progress import Advance, Progress, Silent


class Session:
    """Opens steps, shows them, and remembers how long each took and how much memory had been used by then."""

    def __init__(
        self,
        cache: Cache,
        progress: Progress | None = None,
        tune_seconds: float | None = None,
    ) -> None:
        """Start with nothing measured.

        Args:
            cache: of every step.
            progress: shows the steps.
            tune_seconds: how long forms of kernels may be measured on this machine; ``None`` asks the model.
        """
        self.cache = cache
        self.tune_seconds = tune_seconds
        self.progress: Progress = progress or Silent()
        self.seconds: dict[str, float] = {}
        self.peak_rss_bytes: dict[str, int] = {}

    @contextmanager
    def step(self, name: str, title: str) -> Generator[Advance]:
        """Run a step called ``name`` (as in ``pipeline.STAGES``), shown as ``title``."""
        begin = time.perf_counter()
        with self.progress.step(title) as advance:
            yield advance
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.peak_rss_bytes[name] = peak
