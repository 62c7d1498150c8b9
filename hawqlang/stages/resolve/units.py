"""Units, dimensions and exact texts of quantities.

Everything is an exact ``Fraction`` in the base unit of its dimension: bytes, seconds, MACs, BOPS,
bytes/s, MACs/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, TypeAlias

Dim: TypeAlias = Literal[
    "number", "ratio", "share", "size", "time", "macs", "bops", "size/s", "macs/s"
]
"""``share`` is a quotient of like quantities: it compares with a ratio and with a plain number."""

SCALARS: frozenset[Dim] = frozenset(("number", "ratio", "share"))

_SIZE = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_MACS = {"MACs": 1, "KMACs": 10**3, "MMACs": 10**6, "GMACs": 10**9, "TMACs": 10**12}
_BOPS = {"BOPS": 1, "KBOPS": 10**3, "MBOPS": 10**6, "GBOPS": 10**9, "TBOPS": 10**12}
_PER_SECOND = {"ns": 10**9, "us": 10**6, "ms": 10**3, "s": 1}


def _table() -> dict[str, tuple[Dim, Fraction]]:
    """Return every unit with its dimension and its value in the base unit."""
    units: dict[str, tuple[Dim, Fraction]] = {"%": ("ratio", Fraction(1, 100))}
    units |= {name: ("size", Fraction(factor)) for name, factor in _SIZE.items()}
    units |= {name: ("time", Fraction(1, parts)) for name, parts in _PER_SECOND.items()}
    units |= {name: ("macs", Fraction(factor)) for name, factor in _MACS.items()}
    units |= {name: ("bops", Fraction(factor)) for name, factor in _BOPS.items()}
    units |= {f"{name}/s": ("size/s", Fraction(factor)) for name, factor in _SIZE.items()}
    units |= {f"{name}/s": ("macs/s", Fraction(factor)) for name, factor in _MACS.items()}
    return units


UNITS: Mapping[str, tuple[Dim, Fraction]] = MappingProxyType(_table())

WORDS: Mapping[Dim, str] = MappingProxyType(
    {
        "number": "a plain number",
        "ratio": "a ratio",
        "share": "a ratio",
        "size": "a size",
        "time": "a time",
        "macs": "work in MACs",
        "bops": "work in BOPS",
        "size/s": "a rate in bytes",
        "macs/s": "a rate in MACs",
    }
)
"""Each dimension in the reader's words."""

OFFERED: Mapping[Dim, tuple[str, ...]] = MappingProxyType(
    {
        "ratio": ("%",),
        "size": ("MiB", "MB"),
        "time": ("ms", "us"),
        "macs": ("GMACs", "MMACs"),
        "bops": ("GBOPS", "TBOPS"),
        "size/s": ("GB/s",),
        "macs/s": ("TMACs/s", "GMACs/s"),
    }
)
"""Units offered where one is missing, the likeliest first."""

_PRINTED: Mapping[Dim, tuple[str, ...]] = MappingProxyType(
    {
        "ratio": ("%",),
        "size": ("GiB", "GB", "MiB", "MB", "KiB", "KB", "B"),
        "time": ("s", "ms", "us", "ns"),
        "macs": ("TMACs", "GMACs", "MMACs", "KMACs", "MACs"),
        "bops": ("TBOPS", "GBOPS", "MBOPS", "KBOPS", "BOPS"),
        "size/s": ("GB/s", "MB/s", "KB/s", "B/s"),
        "macs/s": ("TMACs/s", "GMACs/s", "MMACs/s", "KMACs/s", "MACs/s"),
    }
)

_MAX_DIGITS = 18


def decimal_text(value: Fraction) -> str | None:
    """Return ``value`` as a short exact decimal, or ``None`` where it has none."""
    scale = 0
    scaled = value
    while scaled.denominator != 1:
        scale += 1
        scaled = value * 10**scale
        if scale > _MAX_DIGITS:
            return None
    if abs(scaled.numerator) >= 10**_MAX_DIGITS:
        return None
    if scale == 0:
        return str(scaled.numerator)
    digits = str(abs(scaled.numerator)).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def number_text(value: Fraction) -> str:
    """Return an expression that evaluates to exactly ``value``: ``0.485``, ``1 / 255``."""
    text = decimal_text(value)
    if text is not None:
        return text
    if value.denominator == 1:
        return _integer_text(value.numerator)
    return f"{_integer_text(value.numerator)} / {_integer_text(value.denominator)}"


def _integer_text(value: int) -> str:
    """Return an integer of any size as a literal: beyond 18 digits with an exponent."""
    return str(value) if abs(value) < 10**_MAX_DIGITS else f"{value}e0"


def quantity_text(value: Fraction, dim: Dim) -> str:
    """Return the shortest exact text of a quantity: ``6 MiB``, ``99.99%``, ``1 s / 3``."""
    if dim in ("number", "share"):
        return number_text(value)
    texts = [(decimal_text(value / UNITS[unit][1]), unit) for unit in _PRINTED[dim]]
    exact = [(text, unit) for text, unit in texts if text is not None]
    if exact:
        text, unit = min(exact, key=lambda candidate: len(candidate[0]))
        return f"{text}{unit}" if unit == "%" else f"{text} {unit}"
    unit = _PRINTED[dim][-1]
    scaled = value / UNITS[unit][1]
    gap = "" if unit == "%" else " "
    return f"{_integer_text(scaled.numerator)}{gap}{unit} / {_integer_text(scaled.denominator)}"
