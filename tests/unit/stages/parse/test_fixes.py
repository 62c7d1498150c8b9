"""A fix is an edit that mends what it belongs to."""

from __future__ import annotations

import pytest

from hawqlang.diagnostics.model import Fix
from hawqlang.stages.parse import parse_text


def mended(text: str, fixes: list[Fix]) -> str:
    """The text with all fixes applied, the last first."""
    lines = text.split("\n")
    for fix in sorted(fixes, key=lambda fix: (fix.span.line, fix.span.column), reverse=True):
        line = lines[fix.span.line - 1]
        before, after = line[: fix.span.column - 1], line[fix.span.end_column - 1 :]
        lines[fix.span.line - 1] = before + fix.replacement + after
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("a&&!b||c", "a and not b or c"),
        ("a && !(b) -> c", "a and not(b) implies c"),
        ("a->b", "a implies b"),
        ("a ≤ 1\N{NO-BREAK SPACE}ms", "a <= 1 ms"),
        ("a => b <> c", "a >= b != c"),
        ("precision(first) == 'it\"s'", 'precision(first) == "it\\"s"'),
        ("(a, b] == c", "(a, b) == c"),
        ("\u200ba == b", "a == b"),
        ("a = b", "a == b"),
    ],
)
def test_an_expression_is_mended(wrong: str, right: str) -> None:
    text = "hawq 1\nquantize n on t {\n  subject to {\n    c: SLOT\n  }\n}\n"
    _, diagnostics = parse_text(text.replace("SLOT", wrong), "a.hawq")

    fixes = [d.fix for d in diagnostics if d.fix is not None]

    assert len(fixes) == len(diagnostics)
    assert mended(text.replace("SLOT", wrong), fixes) == text.replace("SLOT", right)
    assert parse_text(text.replace("SLOT", right), "a.hawq")[1] == ()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("# c\nparam p: t\n", "# c\nhawq 1\n\nparam p: t\n"),
        ("", "hawq 1\n\n"),
        ("Hawq 1.0\nparam p: t\n", "hawq 1\nparam p: t\n"),
        ("hawq 1\nmodle m {\n  a: 1\n  b == 2\n}\n", "hawq 1\nmodel m {\n  a= 1\n  b = 2\n}\n"),
    ],
)
def test_a_file_is_mended(wrong: str, right: str) -> None:
    _, diagnostics = parse_text(wrong, "a.hawq")

    assert mended(wrong, [d.fix for d in diagnostics if d.fix is not None]) == right
    assert parse_text(right, "a.hawq")[1] == ()
