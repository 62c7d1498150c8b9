"""Units and dimensions.

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
