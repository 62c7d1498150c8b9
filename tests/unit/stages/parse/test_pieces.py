"""Parsing after an edit gives exactly what parsing the whole text gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.ir.syntax import Item
from hawqlang.resources import data_dir
from hawqlang.stages.parse import parse_text
from hawqlang.stages.parse.pieces import Pieces

ROOT = data_dir("specs").parent
SPECS = sorted(
    path
    for kind in ("specs", "tests/spec_cases", "grammar/errors")
    for path in (ROOT / kind).rglob("*.hawq")
)
WHOLE = (ROOT / "tests" / "spec_cases" / "whole.hawq").read_text(encoding="utf-8")
SPLICES = (
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    "=",
    ":",
    "\n",
    '"',
    "#",
    "\nmodel x {",
    " except ",
    "\r",
    "# hawq: ignore[HQ214]\n",
)


def _items(pieces: Pieces, text: str) -> tuple[Item, ...]:
    tree, _ = pieces.parse(text)
    return tree.items


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_text_in_pieces_is_the_text_as_a_whole(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")

    assert Pieces("a.hawq").parse(text) == parse_text(text, "a.hawq")


@pytest.mark.parametrize("seed", range(4))
def test_a_text_after_random_edits_is_the_text_as_a_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces, text = Pieces("a.hawq"), WHOLE
    for _ in range(40):
        start = int(rng.integers(len(text) + 1))
        end = min(len(text), start + int(rng.integers(0, 12)) * int(rng.integers(0, 2)))
        if rng.integers(3):
            text = text[:start] + SPLICES[rng.integers(len(SPLICES))] + text[end:]
        else:
            text = text[:start] + text[end:]
        if len(text) > 4 * len(WHOLE) or rng.integers(8) == 0:
            text = WHOLE
        assert pieces.parse(text) == parse_text(text, "a.hawq")


def test_only_what_an_edit_touches_is_parsed_again() -> None:
    pieces = Pieces("a.hawq")
    text = "hawq 1\nparam a: int = 1\nparam b: int = 2\nparam c: int = 3\n"
    before = _items(pieces, text)

    after = _items(pieces, text.replace("= 2", "= 4"))

    assert after[0] is before[0]
    assert after[1] is not before[1]
    assert after[2] is before[2]


def test_what_follows_a_new_line_is_moved() -> None:
    pieces = Pieces("a.hawq")
    text = "hawq 1\nparam a: int = 1\n# hawq: ignore[HQ214]\nparam b: int = 2\n"
    pieces.parse(text)
    longer = text.replace("param a", "\n\nparam a")

    assert pieces.parse(longer) == parse_text(longer, "a.hawq")


@pytest.mark.parametrize(
    "text",
    [
        "hawq 1\nparam a: int = (1\nparam b: int = 2\n",
        "hawq 1\nmodel a {\nmodel b {\n}\n",
        "hawq 1\nquantize a on b {\n# hawq: ignore[HQ262]\n}\nparam b: int = 2\n",
        "hawq 2\nparam a: int = 1\n",
        "param a: int = 1\nparam b: int = 2\n",
        "hawq 1\n" + "param a = 1\n" * 150,
        "",
    ],
)
def test_what_cannot_stand_by_itself_is_parsed_as_a_whole(text: str) -> None:
    assert Pieces("a.hawq").parse(text) == parse_text(text, "a.hawq")


def test_a_header_that_is_deleted_is_missed() -> None:
    pieces = Pieces("a.hawq")
    pieces.parse("hawq 1\nparam a: int = 1\n")
    bare = "param a: int = 1\n"

    assert pieces.parse(bare) == parse_text(bare, "a.hawq")
