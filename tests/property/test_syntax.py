"""Nothing makes the parser raise, and a printed tree is read as it was."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hawqlang.diagnostics.formats import render
from hawqlang.ir import syntax
from hawqlang.ir.printer_syntax import print_tree
from hawqlang.stages.parse import parse_text
from hawqlang.stages.parse.characters import PAIRS, WRITTEN
from tests.support.syntax_trees import OPERATORS, bare, trees, without_groups

ROOT = Path(__file__).resolve().parents[2]


@given(trees)
@settings(deadline=None)
def test_a_printed_tree_is_read_as_it_was(tree: syntax.SyntaxTree) -> None:
    text = print_tree(tree)
    read, diagnostics = parse_text(text, "")

    assert not diagnostics, (text, diagnostics)
    assert without_groups(bare(read)) == without_groups(tree), text
    assert bare(parse_text(print_tree(read), "")[0]) == bare(read)
    assert print_tree(read) == text


# ---- any text ------------------------------------------------------------------------------------

SPEC = (ROOT / "tests" / "spec_cases" / "whole.hawq").read_text(encoding="utf-8")
ODD = frozenset(
    {"// x", "1__0", "0x1F", ".5", "1.", "1e999", "'a'", '"\\q"', "“a”", "é", "aé", "\u200b"}
)
snippets = st.sampled_from(
    sorted(
        {*SPEC.split(), *SPEC.splitlines(keepends=True), *WRITTEN, *PAIRS, *OPERATORS, *ODD}
        | {*"(){}[]\n=:,\"'#\\.;%"}
    )
) | st.text(max_size=3)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A whole spec with some pieces cut out and others put in."""
    text = SPEC
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(snippets) + text[end:]
    return text


def check_total(text: str) -> None:
    """Parsing and rendering end without an exception, and tree and diagnostics agree."""
    tree, diagnostics = parse_text(text, "spec.hawq")

    errors = [d for d in diagnostics if d.severity == "error"]
    assert errors or not tree.partial
    lines = text.removeprefix("\ufeff").split("\n")
    for diagnostic in diagnostics:
        span = diagnostic.span
        assert span is not None
        assert 1 <= span.line <= span.end_line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)
    render(diagnostics, {"spec.hawq": text}).encode("utf-8")
    render(diagnostics, {}, "sarif").encode("utf-8")


@given(st.text(st.characters(), max_size=60))
@settings(deadline=None)
@example("\ud800")
@example("hawq 1\n" + "a" * 40)
@example("hawq 1\n" + "(" * 300)
@example("hawq 1\nparam x: int = " + "-" * 3000 + "1")
@example("hawq 1\nparam x: int = " + "f(" * 64 + ")" * 64)
@example("hawq 1\nparam x: int = 1" + " + 1" * 3000)
@example("hawq 1\n" + "model m {\n" * 100)
@example("hawq 1\n" + "}\n" * 300)
@example("hawq 1\nx {\n")
@example("hawq 1\nsubject to { a: { b {")
@example("hawq")
@example("hawq 1 {")
@example("hawq 00001\n" + "9" * 5000)
@example("hawq 1\nparam x: int = 1e99999999999")
@example("hawq 1\nparam x: int = 0.0e-99999999999")
def test_no_text_makes_the_parser_raise(text: str) -> None:
    check_total(text)
    check_total(f"hawq 1\n{text}")


@given(st.lists(snippets, max_size=25))
@settings(deadline=None)
def test_no_words_of_the_language_make_the_parser_raise(pieces: list[str]) -> None:
    check_total("hawq 1\n" + " ".join(pieces))


@given(damaged())
@settings(max_examples=200, deadline=None)
def test_no_damage_to_a_spec_makes_the_parser_raise(text: str) -> None:
    check_total(text)


@given(damaged())
@settings(deadline=None)
def test_what_is_left_of_a_damaged_spec_can_be_printed_and_read(text: str) -> None:
    tree, _ = parse_text(text, "")

    read, diagnostics = parse_text(print_tree(tree), "")

    assert [d for d in diagnostics if d.severity == "error"] == []
    assert read.items == () or bare(read.items) == bare(tree.items)
