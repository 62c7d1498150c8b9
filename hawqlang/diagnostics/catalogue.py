"""Every diagnostic at length, one module per group of codes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module

from hawqlang.diagnostics.entry import Entry


def _group(digit: int) -> Callable[[], tuple[Entry, ...]]:
    def load() -> tuple[Entry, ...]:
        module = import_module(f"hawqlang.diagnostics.codes_{digit}xx")
        entries: tuple[Entry, ...] = module.ENTRIES
        return entries

    return load


GROUPS: Mapping[str, tuple[str, Callable[[], tuple[Entry, ...]]]] = {
    "1": ("parsing", _group(1)),
    "2": ("resolving names, types and units", _group(2)),
    "3": ("importing models and weights", _group(3)),
    "4": ("data, calibration and sensitivity", _group(4)),
    "5": ("allocating bits", _group(5)),
    "6": ("lowering to integers", _group(6)),
    "7": ("generating code", _group(7)),
    "8": ("building, artifacts and the tool itself", _group(8)),
    "9": ("verifying", _group(9)),
}
"""What each group is about, and its entries, loaded when asked for."""


@functools.cache
def group(digit: str) -> Mapping[str, Entry]:
    """Return the entries of a group by code."""
    return {found.code: found for found in GROUPS[digit][1]()}


def entry(code: str) -> Entry | None:
    """Return the entry of a code, ``None`` where there is no such code."""
    digit = code[2:3]
    if not code.startswith("HQ") or digit not in GROUPS:
        return None
    return group(digit).get(code)


def entries() -> tuple[Entry, ...]:
    """Return all entries in the order of their codes."""
    found = [one for digit in GROUPS for one in group(digit).values()]
    return tuple(sorted(found, key=lambda one: one.code))
