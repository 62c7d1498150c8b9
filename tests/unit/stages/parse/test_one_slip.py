"""One slip is one error, wherever in a spec it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawqlang.stages.parse import lexemes, parse_text

TEXT = (Path(__file__).parents[3] / "spec_cases" / "whole.hawq").read_text(encoding="utf-8")
TOKENS = [token for token in lexemes(TEXT)[0] if token.kind != "_NL"]


def deleted() -> Iterator[str]:
    for token in TOKENS:
        yield TEXT[: token.start] + TEXT[token.end :]


def doubled() -> Iterator[str]:
    for token in TOKENS:
        yield f"{TEXT[: token.end]} {TEXT[token.start :]}"


@pytest.mark.parametrize("slips", [deleted, doubled], ids=["deleted", "doubled"])
def test_a_token_too_few_or_too_many_is_one_error(slips: object) -> None:
    assert callable(slips)
    found = Counter[int]()
    for text in slips():
        errors = [d for d in parse_text(text, "")[1] if d.severity == "error"]
        found[len(errors)] += 1

    several = sum(times for errors, times in found.items() if errors > 1)
    assert several <= 5, found  # of some 240


def test_a_block_without_its_brace_is_still_read() -> None:
    text = (
        "hawq 1\nquantize a on b\n  weights {\n    rounding = x\n  }\n  seed = 1\n}\ntarget b { }\n"
    )

    tree, diagnostics = parse_text(text, "")

    assert [(d.code, d.span and d.span.line) for d in diagnostics] == [("HQ125", 2)]

    assert len(tree.items) == 2
