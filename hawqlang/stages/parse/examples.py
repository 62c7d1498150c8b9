"""Syntax errors known by example: the samples in ``grammar/errors``.

A sample is a malformed spec. Its name starts with the code of the error; leading comments may say
what to tell the reader: ``# message:``, ``# help:``, ``# replacement:`` (what to write instead of
the token), ``# behind:`` (what to write behind the token before it) and ``# any`` (whatever token
stands there). Further cases of the same error follow, each with its own ``hawq 1``. A reader's
error is recognised when the parser is in the state of a sample's error, looks at the same token and
would have taken the same others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hawqlang.resources import data_dir
from hawqlang.stages.parse.brackets import balance
from hawqlang.stages.parse.build import Builder
from hawqlang.stages.parse.driver import Driver, Trouble
from hawqlang.stages.parse.lexer import Lexer
from hawqlang.stages.parse.tables import END, grammar_tables
from hawqlang.stages.parse.tokens import Findings

ANY = ""
"""Stands for every token in a key of ``known``."""

Key = tuple[int, frozenset[str], str]
"""State of the parser, the terminals it would take, and the one it looks at."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One error by example."""

    code: str
    message: str
    """Empty where the error is found without the parser. ``{found}`` is what stands there,
    ``{first}`` the first word of the statement, ``{previous}`` what stands before."""
    help: str | None
    replacement: str | None
    behind: str | None
    any_token: bool
    cases: tuple[str, ...]


def read_sample(path: Path) -> Sample:
    """Return the sample in a file."""
    text = path.read_text(encoding="utf-8")
    notes: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        key, _, value = line[2:].partition(":")
        notes[key] = value.strip()
    cases = tuple(f"hawq 1\n{case}" for case in text.split("hawq 1\n")[1:])
    return Sample(
        code=path.name[:5],
        message=notes.get("message", ""),
        help=notes.get("help"),
        replacement=notes.get("replacement"),
        behind=notes.get("behind"),
        any_token="any" in notes,
        cases=cases,
    )


def samples(folder: Path) -> list[Sample]:
    """Return all samples of a folder, in the order of their names."""
    return [read_sample(path) for path in sorted(folder.glob("HQ1*.hawq"))]


@functools.cache
def known() -> Mapping[Key, Sample]:
    """Return the shipped samples by where they go wrong; the first of a place wins."""
    found: dict[Key, Sample] = {}
    for sample in samples(data_dir("grammar") / "errors"):
        for case in sample.cases if sample.message else ():
            key = first_trouble(case)
            if key is not None:
                found.setdefault((*key[:2], ANY) if sample.any_token else key, sample)
    return found


def first_trouble(text: str) -> Key | None:
    """Return where the parser finds the first error of a text, ``None`` if it finds none."""
    findings = Findings("")
    lexer = Lexer(text, grammar_tables().terminals, findings)
    lexer.run()
    found: list[Key] = []

    def note(trouble: Trouble) -> None:
        found.append(trouble.key)

    driver = Driver(grammar_tables(), Builder("", findings), findings, note)
    driver.run([*balance(lexer.tokens, findings), lexer.token(END, len(text), len(text))])
    return found[0] if found else None
