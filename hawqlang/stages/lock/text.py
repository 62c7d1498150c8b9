"""Locks and saved plans to text and back: one layer a line, and an error that knows its line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from hawqlang.base import Frozen, Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.lock import FORMAT_VERSION

LARGEST_FILE = 64 * 2**20
NounT = TypeVar("NounT", bound=Frozen)
Path_ = Sequence[int | str]
"""Where a value stands in a file: keys and positions."""


def render(noun: Frozen) -> str:
    """Return the text of a lock or a saved plan: objects a member a line, lists an element a line."""
    return "\n".join(_lines(noun.model_dump(mode="json", exclude_none=True), "")) + "\n"


def _lines(value: object, indent: str) -> Iterator[str]:
    """Yield the lines of a value; the first goes behind its key."""
    inner = indent + " "
    match value:
        case dict() if value:
            members = cast("dict[str, object]", value)
            yield "{"
            for place, (key, member) in enumerate(members.items(), 1):
                first, *rest = _lines(member, inner)
                text = [f"{inner}{_compact(key)}: {first}", *rest]
                text[-1] += "," if place < len(members) else ""
                yield from text
            yield indent + "}"
        case list() if value:
            items = [inner + _compact(item) for item in cast("list[object]", value)]
            yield "["
            yield from (f"{item}," for item in items[:-1])
            yield items[-1]
            yield indent + "]"
        case _:
            yield _compact(value)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def parse(path: Path, kind: type[NounT], what: str) -> NounT:
    """Return the value a file holds.

    Args:
        path: The file.
        kind: ``Lock`` or ``SavedPlan``.
        what: The file in the reader's words: ``lock`` or ``saved plan``.

    Raises:
        HawqError: The file is none, or damaged (HQ860), or of a newer version (HQ861). Nothing of it is quoted.
        OSError: It cannot be read.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise HawqError(_damaged(path, what, "larger than 64 MiB", 0, 0))
    try:
        text = path.read_bytes().decode("utf-8")
        data = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise HawqError(_damaged(path, what, error.msg, error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:
        why = "a key stands twice" if isinstance(error, _TwiceError) else "not JSON"
        raise HawqError(_damaged(path, what, why, 0, 0)) from error
    version = cast("dict[str, Any]", data).get("format_version") if isinstance(data, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise HawqError(_newer(path, what, version))
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        line, column = position(text, first["loc"])
        keys = [str(key) for key in first["loc"] if isinstance(key, str)]
        why = f"{'.'.join(keys)}: {first['msg']}" if keys else first["msg"]
        raise HawqError(_damaged(path, what, why, line, column)) from error


class _TwiceError(ValueError):
    """An object names one key twice, as a bad merge leaves it."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def position(text: str, path: Path_) -> tuple[int, int]:
    """Return line and column, from 1, of the value at ``path``, or of the innermost there is on the way."""
    here = _skip(text, 0)
    rest = list(path)
    while rest:
        found = _member(text, here, rest)
        if found is None:
            break
        here = found
    before = text[:here]
    return before.count("\n") + 1, here - (before.rfind("\n") + 1) + 1


def _member(text: str, start: int, rest: list[int | str]) -> int | None:
    """Return where a member of the value at ``start`` begins; takes what leads there off ``rest``."""
    wanted = rest.pop(0)
    if text[start] == "{" and isinstance(wanted, int) and rest:
        rest.pop(0)  # a table is read as pairs: its member counts twice
    for number, (key, here) in enumerate(_members(text, start)):
        if wanted in (key, number):
            return here
    return None


def _members(text: str, start: int) -> Iterator[tuple[str | None, int]]:
    """Yield key and place of every member of the JSON object or array at ``start``."""
    decoder = json.JSONDecoder()
    if text[start] not in "{[":
        return
    here = _skip(text, start + 1)
    while text[here] not in "}]":
        key: str | None = None
        if text[start] == "{":
            key, here = decoder.raw_decode(text, here)
            here = _skip(text, _skip(text, here) + 1)
        yield key, here
        _, here = decoder.raw_decode(text, here)
        here = _skip(text, here)
        if text[here] == ",":
            here = _skip(text, here + 1)


def _skip(text: str, start: int) -> int:
    """Return the first place from ``start`` that is no white space."""
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start


def _damaged(path: Path, what: str, why: str, line: int, column: int) -> Diagnostic:
    return Diagnostic(
        code="HQ860",
        severity="error",
        message=f"the {what} cannot be understood: {why}",
        span=Span(file=str(path), line=line, column=column, end_line=line, end_column=column),
        help="take it from version control again, or delete it and let hawqc write a new one",
    )


def _newer(path: Path, what: str, version: int) -> Diagnostic:
    return Diagnostic(
        code="HQ861",
        severity="error",
        message=f"the {what} has format {version}; this hawqc knows formats up to {FORMAT_VERSION}",
        span=Span(file=str(path), line=0, column=0, end_line=0, end_column=0),
        help="use the hawqc that wrote it, or a later one",
    )
