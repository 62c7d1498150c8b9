"""The values of string and number literals."""

from __future__ import annotations

import re
from fractions import Fraction

MAX_INTEGER = 2**63 - 1
MAX_DIGITS = 400
"""More digits than any quantity has; keeps a literal's value and the time to compute it small."""

_ESCAPE = re.compile(r"\\(u\{([0-9A-Fa-f]{1,6})\}|.|$)", re.DOTALL)
_PLAIN = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)


def bad_escapes(literal: str) -> list[tuple[int, str]]:
    """Return offset and text of every escape that means nothing in a string literal."""
    return [(m.start(), m.group()) for m in _ESCAPE.finditer(literal) if _escaped(m) is None]


def string_value(literal: str) -> str:
    """Return what a string literal means; an escape that means nothing stays as written."""
    body = literal[1:-1]
    if "\\" not in body:
        return body
    return _ESCAPE.sub(lambda m: m.group() if (c := _escaped(m)) is None else c, body)


def _escaped(match: re.Match[str]) -> str | None:
    if match.group(2) is None:
        return _PLAIN.get(match.group(1))
    point = int(match.group(2), 16)
    return chr(point) if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF else None


def is_integral(literal: str) -> bool:
    """Return whether a number is written without point and exponent."""
    return not ("." in literal or "e" in literal or "E" in literal)


def number_value(literal: str) -> Fraction | str:
    """Return the exact value of a number literal, or why it has none that the language can hold."""
    if is_integral(literal) and len(literal) <= 18:
        return Fraction(int(literal))
    match = _NUMBER.fullmatch(literal.replace("_", ""))
    if match is None or len(literal) > MAX_DIGITS:
        return f"a number has at most {MAX_DIGITS} characters"
    decimals = match[2] or ""
    digits = int(match[1] + decimals)
    if is_integral(literal):
        return Fraction(digits) if digits <= MAX_INTEGER else "the largest integer is 2^63 - 1"
    return _scaled(digits, int(match[3] or "0") - len(decimals))


def _scaled(digits: int, power: int) -> Fraction | str:
    """Return ``digits * 10^power`` where a double could hold it."""
    magnitude = power + len(str(digits))
    if digits == 0:
        return Fraction(0)
    if magnitude > 308:
        return "the largest number is below 1e308"
    if magnitude < -306:
        return "the smallest number above zero is about 1e-307"
    return Fraction(digits) * Fraction(10) ** power
