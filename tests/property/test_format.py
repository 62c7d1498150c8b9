"""Formatting moves white space only, keeps every comment, and is done after one pass."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hawqlang.ir import syntax
from hawqlang.ir.printer_syntax import print_tree
from hawqlang.stages.format import format_text
from hawqlang.stages.parse import lexemes, parse_text
from hawqlang.stages.parse.tokens import Token
from tests.support.syntax_trees import bare, trees

COMMENTS = ["# c", "#", "#  two  words  ", "# hawq: ignore[HQ214]", "#hawq: ignore[HQ215, HQ503]"]
BLANKS = [" ", "  ", "\t", " "]
ENDS = ["\n", "\n\n", "\n\n\n\n", "\r\n"]


@st.composite
def written(draw: st.DrawFn) -> str:
    """A spec as somebody may have written it: any white space, comments anywhere."""
    tokens, _ = lexemes(print_tree(draw(trees)))
    plain = draw(st.integers(0, 3))  # how often nothing unusual happens
    text, depth, before = "", 0, ""
    for token in tokens:
        if token.kind == "_NL":
            text += draw(ends(plain))
            continue
        depth -= token.kind in {"RPAR", "RSQB"}
        whole = before == "NUMBER"  # a unit stands on the line of its number
        before = token.kind
        if depth and not whole and draw(st.integers(0, 4 + plain * 4)) == 0:
            text += draw(ends(plain))
        text += draw(st.sampled_from(BLANKS)) if text and not text.endswith("\n") else ""
        text += token.text
        depth += token.kind in {"LPAR", "LSQB"}
    return text


@st.composite
def ends(draw: st.DrawFn, plain: int) -> str:
    """The end of a line, and maybe lines of comment."""
    if draw(st.integers(0, 3)) < plain:
        return "\n"
    text = ""
    for _ in range(draw(st.integers(0, 2))):
        text += draw(st.sampled_from(["", " ", "   "])) + draw(st.sampled_from(COMMENTS))
        text += draw(st.sampled_from(ENDS))
    return text or draw(st.sampled_from(ENDS))


def formatted(text: str) -> str:
    result = format_text(text, "")
    assert result.text is not None, (text, result.diagnostics)
    return result.text


def silenced(text: str) -> list[tuple[tuple[str, ...], list[int]]]:
    """The codes of every `# hawq:` comment, and which tokens stand on the lines it speaks of."""
    tree, _ = parse_text(text, "")
    tokens = said(lexemes(text)[0])
    return [
        (
            ignore.codes,
            [
                n
                for n, t in enumerate(tokens)
                if ignore.line <= t.line <= max(ignore.line, ignore.last_line)
            ],
        )
        for ignore in tree.ignores
    ]


def said(tokens: list[Token]) -> list[Token]:
    """The tokens without newlines and commas behind last elements."""
    kept = [token for token in tokens if token.kind != "_NL"]
    return [
        token
        for token, after in zip(kept, [*kept[1:], kept[-1]], strict=True)
        if not (token.kind == "COMMA" and after.kind in {"RPAR", "RSQB"})
    ]


@given(written())
@settings(max_examples=40, deadline=None)
def test_formatting_changes_neither_meaning_nor_comments_and_is_done_at_once(text: str) -> None:
    before, diagnostics = parse_text(text, "")
    assert not [d for d in diagnostics if d.severity == "error"], (text, diagnostics)

    after = formatted(text)

    tree, _ = parse_text(after, "")
    assert bare(tree).replace(ignores=()) == bare(before).replace(ignores=()), (text, after)
    comments = [comment.text.rstrip() for comment in lexemes(text)[1]]
    assert [comment.text for comment in lexemes(after.replace("\r", ""))[1]] == comments
    assert silenced(after) == silenced(text), (text, after)
    assert formatted(after) == after, (text, after)


@given(trees)
@settings(max_examples=15, deadline=None)
def test_the_layout_does_not_depend_on_white_space(tree: syntax.SyntaxTree) -> None:
    text = print_tree(tree)
    tokens, _ = lexemes(text)
    squeezed = "".join(
        "\n" if token.kind == "_NL" else f"   {token.text}" for token in tokens
    ).replace("\n\n", "\n")

    assert formatted(squeezed).replace("\n\n", "\n") == formatted(text).replace("\n\n", "\n")
