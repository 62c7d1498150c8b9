"""Measure an artifact's latency, whole and per step, beside the float network in one run.

Rivals are timed in turns with the library, so that a drifting clock or a noisy neighbour hits both
alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hawqlang.backend.protocol import Array, Runner

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Latency:
    """Distribution of one program's latency in milliseconds."""

    median: float
    p10: float
    p90: float
    runs: int


def interleaved(programs: Mapping[str, Run], seconds: float) -> dict[str, Latency]:
    """Return the latency of every program, run in turns for about ``seconds`` in all, at least 5 rounds."""
    for run in programs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in programs}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 5 or time.perf_counter() < end:
        for name, run in programs.items():
            begin = time.perf_counter_ns()
            run()
            times[name].append((time.perf_counter_ns() - begin) / 1e6)
        rounds += 1
    return {name: _summary(found) for name, found in times.items()}


def step_times(runner: Runner, image: Array, rounds: int = 30) -> dict[str, float]:
    """Return the median nanoseconds of every step of a library, over ``rounds`` inferences."""
    found = [runner.profile(image) for _ in range(rounds)]
    return {name: float(np.median([times[name] for times in found])) for name in found[0]}


def _summary(milliseconds: list[float]) -> Latency:
    low, middle, high = np.percentile(milliseconds, (10, 50, 90))
    return Latency(float(middle), float(low), float(high), len(milliseconds))
