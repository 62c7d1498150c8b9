"""Typed access to JSON that somebody else wrote."""

from __future__ import annotations

from typing import cast

Json = dict[str, object]


class MalformedError(ValueError):
    """The JSON is not what the format says; the message names the field."""


def table(value: object, what: str) -> Json:
    """Return an object with its keys."""
    if isinstance(value, dict):
        return cast("Json", value)
    raise MalformedError(f"{what} is no object")


def listed(value: object, what: str) -> list[object]:
    """Return a list."""
    if isinstance(value, list):
        return cast("list[object]", value)
    raise MalformedError(f"{what} is no list")


def text(value: object, what: str) -> str:
    """Return a string."""
    if isinstance(value, str):
        return value
    raise MalformedError(f"{what} is no string")


def whole(value: object, what: str) -> int:
    """Return a whole number that fits 63 bits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise MalformedError(f"{what} is no whole number")


def single(value: object, what: str) -> tuple[str, object]:
    """Return the one key that a tagged union has, with its value."""
    entry = table(value, what)
    if len(entry) != 1:
        raise MalformedError(f"{what} is no tagged value")
    return next(iter(entry.items()))
