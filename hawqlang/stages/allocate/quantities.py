"""Quantities as a reader writes them, rounded to the side that stays feasible."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from hawqlang.ir.spec import Comparator, Dimension

UNITS: dict[Dimension, dict[str, Fraction]] = {
    "number": {"": Fraction(1)},
    "size": {
        "B": Fraction(1),
        "KB": Fraction(10**3),
        "MB": Fraction(10**6),
        "GB": Fraction(10**9),
        "KiB": Fraction(2**10),
        "MiB": Fraction(2**20),
        "GiB": Fraction(2**30),
    },
    "time": {
        "ns": Fraction(1, 10**9),
        "us": Fraction(1, 10**6),
        "ms": Fraction(1, 10**3),
        "s": Fraction(1),
    },
    "macs": {
        f"{p}MACs": Fraction(10**e) for p, e in (("", 0), ("K", 3), ("M", 6), ("G", 9), ("T", 12))
    },
    "bops": {
        f"{p}BOPS": Fraction(10**e) for p, e in (("", 0), ("K", 3), ("M", 6), ("G", 9), ("T", 12))
    },
}
"""Units by dimension, in base units."""

BINARY = ("B", "KiB", "MiB", "GiB")
DIGITS = 3
"""Significant digits shown, at least."""


def written(value: Fraction, dimension: Dimension, like: str = "") -> str:
    """Return a quantity to the nearest shown digit, in the unit that ``like`` is written in."""
    unit = unit_of(value, dimension, like)
    number = value / UNITS[dimension][unit]
    places = 2 if Fraction(1, 10) <= abs(number) < 100 else _places(number)
    return _with_unit(_decimal(number, min(places, _places(number)), round_up=None), unit)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity as written, and what that text says in base units."""

    text: str
    value: Fraction


def feasible_bound(
    value: Fraction, dimension: Dimension, op: Comparator, like: str = ""
) -> Quantity:
    """Return the nearest bound that admits ``value``, as written: up for ``<=``, down for ``>=``.

    Args:
        value: what can be reached, in base units.
        dimension: its dimension.
        op: how the value is compared with the bound.
        like: text of the spec whose unit is taken over.
    """
    unit = unit_of(value, dimension, like)
    number = value / UNITS[dimension][unit]
    shown = admitting(number, op)
    return Quantity(_with_unit(shown, unit), Fraction(shown) * UNITS[dimension][unit])


def admitting(number: Fraction, op: Comparator) -> str:
    """Return a decimal with few digits that ``number`` compares with as ``op`` asks."""
    places = _places(number)
    match op:
        case "<=" | "<":
            text = _decimal(number, places, round_up=True)
            step = Fraction(1, 10**places)
            return (
                text
                if op == "<=" or Fraction(text) > number
                else _decimal(Fraction(text) + step, places, round_up=True)
            )
        case ">=" | ">":
            text = _decimal(number, places, round_up=False)
            step = Fraction(1, 10**places)
            return (
                text
                if op == ">=" or Fraction(text) < number
                else _decimal(Fraction(text) - step, places, round_up=False)
            )
        case _:
            return _exact(number)


def unit_of(value: Fraction, dimension: Dimension, like: str) -> str:
    """Return the unit of that dimension in ``like``, else the largest that leaves 1 or more."""
    known = UNITS[dimension]
    if dimension == "number":
        return ""
    for word in re.findall(r"(?<![A-Za-z_])[\d.]\s*([A-Za-z]+)", like):
        if word in known:
            return word
    names = BINARY if dimension == "size" else tuple(known)
    fitting = [name for name in names if known[name] <= abs(value)]
    return max(fitting, key=known.__getitem__) if fitting else min(names, key=known.__getitem__)


def _places(number: Fraction) -> int:
    if number.denominator == 1 and abs(number) < 10**6:
        return 0
    if number == 0:
        return 0
    magnitude = math.floor(math.log10(abs(number)))
    return max(0, DIGITS - 1 - magnitude, 2 if magnitude < 3 else 0)


def _decimal(number: Fraction, places: int, *, round_up: bool | None) -> str:
    scaled = number * 10**places
    whole = math.ceil(scaled) if round_up else math.floor(scaled)
    whole = round(scaled) if round_up is None else whole
    if places == 0:
        return str(whole)
    sign, digits = "-" * (whole < 0), str(abs(whole)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def _exact(number: Fraction) -> str:
    """Return the number in decimal, all of it where it ends."""
    places = next((k for k in range(40) if (number * 10**k).denominator == 1), 12)
    return _decimal(number, places, round_up=None)


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number
