"""Values to places on an axis: linear or logarithmic, with round ticks in a readable unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hawqlang.ir.front import Axis

LOGARITHMIC_FROM = 50.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""

_UNITS: dict[str, tuple[tuple[str, float], ...]] = {
    "B": (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0)),
    "s": (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)),
}
_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3), ("", 1.0))


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    """In base units."""
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """How the values of a metric lie on an axis."""

    title: str
    low: float
    high: float
    logarithmic: bool
    ticks: tuple[Tick, ...]

    def part(self, value: float) -> float:
        """Return where a value lies: 0 at the low end of the axis, 1 at the high end."""
        low, high, here = self.low, self.high, value
        if self.logarithmic:
            low, high, here = math.log(low), math.log(high), math.log(max(here, low * 1e-9))
        return (here - low) / (high - low)


def scale(axis: Axis, values: Sequence[float]) -> Scale:
    """Return a scale on which every value has its place."""
    low, high = min(values), max(values)
    name = axis.metric.replace("_", " ")
    if low > 0 and high / low >= LOGARITHMIC_FROM:
        return _logarithmic(name, axis.unit, low, high)
    word, factor = _unit(axis.unit, high)
    return _linear(f"{name} ({word})" if word else name, factor, low, high)


def _unit(unit: str, largest: float) -> tuple[str, float]:
    """Return the unit in which the largest value is a short number."""
    if not unit:
        return "", 1.0
    known = _UNITS.get(unit) or tuple((prefix + unit, by) for prefix, by in _PREFIXES)
    return next((one for one in known if largest >= one[1]), known[-1])


def _linear(title: str, factor: float, low: float, high: float) -> Scale:
    low, high = low / factor, high / factor
    if low == high:
        low, high = low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10
    margin = (high - low) / 20
    step = _round_step((high - low) / 5)
    first, last = math.ceil((low - margin) / step), math.floor((high + margin) / step)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(
        Tick(k * step * factor, f"{k * step:,.{places}f}") for k in range(first, last + 1)
    )
    ends = (low - margin) * factor, (high + margin) * factor
    return Scale(title, *ends, logarithmic=False, ticks=ticks)


def _round_step(width: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least ``width``."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= width * (1 - 1e-9))


def _logarithmic(title: str, unit: str, low: float, high: float) -> Scale:
    margin = (high / low) ** 0.05
    low, high = low / margin, high * margin
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, round((last - first) / 8))
    within = (1, 2, 5) if last - first <= 3 else (1,)
    values = [m * 10.0**k for k in range(first, last + 1) if k % every == 0 for m in within]
    ticks = tuple(Tick(value, _short(value, unit)) for value in values if low <= value <= high)
    return Scale(title, low, high, logarithmic=True, ticks=ticks)


def _short(value: float, unit: str) -> str:
    word, factor = _unit(unit, value)
    number = value / factor
    return f"{number:,.0f} {word}".strip() if 1 <= number < 1e7 else f"{number:g} {word}".strip()
