"""A resolved spec as the list of its statements, so that two can be compared without their layout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from hawqlang.ir.printer_spec import print_spec
from hawqlang.ir.spec import Build, Spec
from hawqlang.stages.lock.origin import local_build

Statements = tuple[str, ...]
"""One per statement, with the blocks it stands in: ``subject to / fits: size <= budget``."""

WHOLE = ""
"""The group of what belongs to no build: params."""

_GAP = re.compile(r"(?<=\S) {2,}")


def of_spec(spec: Spec, builds: Sequence[Build]) -> Mapping[str, Statements]:
    """Return the statements of every build, and of the whole file, as ``hawqc show`` prints them."""
    empty = spec.replace(builds=(), models=(), datasets=(), targets=())
    groups = {WHOLE: of_text(print_spec(empty))}
    for build in builds:
        alone = empty.replace(builds=(local_build(spec, build),), params=())
        groups[build.name] = of_text(print_spec(alone))[1:]  # the version stands in the first group
    return groups


def of_text(text: str) -> Statements:
    """Return the statements of a printed spec, without the spaces that align them."""
    return tuple(_statements(text))


def _statements(text: str) -> Iterator[str]:
    blocks: list[str] = []
    for line in text.splitlines():
        statement = _GAP.sub(" ", line.strip())
        if statement == "}":
            blocks.pop()
        elif statement.endswith("{"):
            head = statement.removesuffix("{").rstrip()
            if head.startswith("quantize "):
                yield head
                head = ""
            blocks.append(head)
        elif statement:
            yield " / ".join((*filter(None, blocks), statement))


def differences(before: Statements, after: Statements) -> tuple[Statements, Statements]:
    """Return the statements that only one of two lists has, in their order."""
    removed: list[str] = []
    added: list[str] = []
    for kind, i, j, k, m in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if kind != "equal":
            removed += before[i:j]
            added += after[k:m]
    return tuple(removed), tuple(added)
