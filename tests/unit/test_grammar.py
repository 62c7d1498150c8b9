"""The grammar as data: Lark's strict mode takes it, and its documents speak the language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hawqlang.stages.parse import parse_text

lark = pytest.importorskip("lark")

GRAMMAR = Path(__file__).resolve().parents[2] / "grammar"
CASES = Path(__file__).resolve().parents[1] / "spec_cases"
REFERENCE = GRAMMAR.parent / "docs" / "reference"
PAGES = [REFERENCE / f"{name}.md" for name in ("language", "blocks", "constraints")]
TEXT = "".join(page.read_text(encoding="utf-8") for page in PAGES)
BLOCKS = re.findall(r"^```hawq\n(.*?)^```$", TEXT, re.M | re.S)


class Newlines:
    """Keeps a newline only where it ends a statement."""

    always_accept = ("_NL",)

    def process(self, stream: Iterator[Any]) -> Iterator[Any]:
        depth, last = 0, "_NL"
        for token in stream:
            depth += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB"))
            if token.type == "_NL" and (depth > 0 or last in ("_NL", "LBRACE")):
                continue
            last = token.type
            yield token


@pytest.fixture(scope="module")
def reference() -> Any:
    """Lark's own parser: strict, so a conflict or an ambiguous lexeme is an error."""
    pytest.importorskip("interegular", reason="Lark's strict mode compares terminals with it")
    return lark.Lark.open(
        str(GRAMMAR / "hawq.lark"),
        parser="lalr",
        lexer="contextual",
        strict=True,
        postlex=Newlines(),
    )


def accepts(reference: Any, text: str) -> bool:
    try:
        reference.parse(text)
    except lark.exceptions.UnexpectedInput:
        return False
    return True


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{n}" for n in range(len(BLOCKS))])
def test_every_example_of_the_reference_parses(block: str, reference: Any) -> None:
    tree, diagnostics = parse_text(block, "language.md")

    assert diagnostics == ()
    assert tree.items
    assert accepts(reference, block)


def test_the_reference_has_its_examples() -> None:
    assert len(BLOCKS) == 9


def test_the_complete_spec_is_the_one_other_tests_read() -> None:
    assert (CASES / "whole.hawq").read_text() == BLOCKS[0]


NOT_OF_THE_GRAMMAR = ("HQ106", "HQ107", "HQ108", "HQ111")
"""Limits, and numbers that a name follows: the grammar takes more than the language."""

SOURCES = [
    path
    for path in (*sorted(GRAMMAR.glob("errors/*.hawq")), *sorted(CASES.glob("**/*.hawq")))
    if not path.name.startswith(NOT_OF_THE_GRAMMAR)
]


@pytest.mark.parametrize("path", SOURCES, ids=[f"{p.parts[-3]}-{p.stem}" for p in SOURCES])
def test_lark_and_the_parser_agree_on_what_is_wrong(path: Path, reference: Any) -> None:
    text = path.read_bytes().partition(b"# EXPECT:")[0].decode("utf-8", "replace")
    for case in re.split(r"(?m)^(?=hawq 1$)", text):
        _, diagnostics = parse_text(case, path.name)
        wrong = any(found.severity == "error" for found in diagnostics)
        assert accepts(reference, case) == (not wrong), case
