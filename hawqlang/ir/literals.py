"""Values → literals of the language, exact and as short as they get."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from hawqlang.ir.units import UNITS, Dim

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

_LARGEST_INTEGER = 2**63 - 1
_PLAIN_DIGITS = 18
_WRITTEN_DIGITS = 350
"""Beyond this a decimal is left to a quotient of integers."""


def decimal_text(value: Fraction) -> str | None:
    """Return ``value`` as an exact decimal literal, ``None`` where it has none."""
    scale = _decimal_places(value.denominator)
    if scale is None:
        return None
    digits = abs(value.numerator) * (10**scale // value.denominator)
    sign = "-" if value < 0 else ""
    if scale == 0 and digits <= _LARGEST_INTEGER:
        return f"{sign}{digits}"
    if 0 < scale <= _PLAIN_DIGITS and len(str(digits)) <= _PLAIN_DIGITS:
        text = str(digits).rjust(scale + 1, "0")
        return f"{sign}{text[:-scale]}.{text[-scale:]}"
    return sign + _exponential(digits, -scale)


def _decimal_places(denominator: int) -> int | None:
    """Return how many decimals ``1 / denominator`` has, ``None`` where it has no end."""
    counts: list[int] = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    places = max(counts)
    return places if denominator == 1 and places <= _WRITTEN_DIGITS else None


def _exponential(digits: int, exponent: int) -> str:
    """Return ``digits`` times a power of ten, the digits without trailing zeros."""
    text = str(digits)
    bare = text.rstrip("0") or "0"
    return f"{bare}e{exponent + len(text) - len(bare)}"


def number_text(value: Fraction) -> str:
    """Return an expression that evaluates to exactly ``value``: ``0.485``, ``1 / 255``."""
    text = decimal_text(value)
    if text is not None:
        return text
    if value.denominator == 1:
        return _integer_text(value.numerator)
    return f"{_integer_text(value.numerator)} / {_integer_text(value.denominator)}"


def _integer_text(value: int) -> str:
    """Return an integer of any size as a literal."""
    return decimal_text(Fraction(value)) or str(value)


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


def string_text(value: str) -> str:
    """Return a string literal with its quotes and escapes."""
    return '"' + "".join(_character(character) for character in value) + '"'


_ESCAPES: Mapping[str, str] = MappingProxyType({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
