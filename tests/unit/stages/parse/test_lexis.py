"""What characters, strings, numbers and comments mean, and which are refused."""

from __future__ import annotations

import unicodedata
from fractions import Fraction
from typing import Any

import pytest

from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.syntax import Boolean, Name, Param, Quantity, String, SyntaxTree
from hawqlang.stages.parse import parse_text
from hawqlang.stages.parse.characters import BIDIRECTIONAL, INVISIBLE


def param(value: str) -> Any:
    """The default of a param with this literal."""
    tree, diagnostics = parse_text(f"hawq 1\nparam p: t = {value}\n", "a.hawq")
    assert diagnostics == ()
    item = tree.items[0]
    assert isinstance(item, Param)
    return item.default


def problems(text: str) -> list[tuple[str, int, int]]:
    """Code, line and column of everything found in a text."""
    return [
        (d.code, d.span.line, d.span.column)
        for d in parse_text(text, "a.hawq")[1]
        if d.span is not None
    ]


def only(text: str) -> tuple[SyntaxTree, Diagnostic]:
    tree, diagnostics = parse_text(text, "a.hawq")
    assert len(diagnostics) == 1, diagnostics
    return tree, diagnostics[0]


@pytest.mark.parametrize(
    ("literal", "value", "unit", "integral"),
    [
        ("1", Fraction(1), None, True),
        ("007", Fraction(7), None, True),
        ("1_000_000", Fraction(1_000_000), None, True),
        ("9223372036854775807", Fraction(2**63 - 1), None, True),
        ("0.1", Fraction(1, 10), None, False),
        ("1.50", Fraction(3, 2), None, False),
        ("1e-3", Fraction(1, 1000), None, False),
        ("2.5E+2", Fraction(250), None, False),
        ("0.0e999999999999", Fraction(0), None, False),
        ("1e307", Fraction(10) ** 307, None, False),
        ("6MiB", Fraction(6), "MiB", True),
        ("6 MiB", Fraction(6), "MiB", True),
        ("99.99%", Fraction(9999, 10000) * 100, "%", False),
        ("99.99 %", Fraction(9999, 100), "%", False),
        ("65 TMACs/s", Fraction(65), "TMACs/s", True),
        ("320GB/s", Fraction(320), "GB/s", True),
        ("1 KiB/s", Fraction(1), "KiB/s", True),
    ],
)
def test_a_number_is_exact_and_keeps_its_unit(
    literal: str, value: Fraction, unit: str | None, integral: bool
) -> None:
    quantity = param(literal)

    assert isinstance(quantity, Quantity)
    assert (quantity.number, quantity.unit, quantity.integral) == (value, unit, integral)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('""', ""),
        ('"a # b"', "a # b"),
        (r'"\"\\\n\t"', '"\\\n\t'),
        (r'"\u{e9}\u{1F600}"', "é😀"),
        ('"größe\u200b"', "größe\u200b"),
        (r'"C:\\data\\new"', r"C:\data\new"),
    ],
)
def test_a_string_means_its_characters(literal: str, value: str) -> None:
    string = param(literal)

    assert isinstance(string, String)
    assert string.value == value


def test_words_are_booleans_or_names() -> None:
    assert isinstance(param("true"), Boolean)
    assert param("false").value is False
    assert isinstance(param("w4a8"), Name)
    assert param("nvidia.t4").text == "nvidia.t4"


def test_a_rate_is_a_division_where_no_number_stands_before_it() -> None:
    division = param("GB/s")

    assert (division.op, division.left.text, division.right.text) == ("/", "GB", "s")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_end_with_lf_or_crlf_and_a_mark_at_the_start_is_skipped(newline: str) -> None:
    tree, diagnostics = parse_text(f"\ufeffhawq 1{newline}{newline}param p: t{newline}", "a.hawq")

    assert diagnostics == ()
    assert (tree.items[0].span.line, tree.items[0].span.column) == (3, 1)
    assert not tree.text.startswith("\ufeff")


def test_columns_count_code_points() -> None:
    _, found = only('hawq 1\nparam p: string = "漢字😀" )\n')

    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, 25)


def test_a_carriage_return_alone_is_no_line_end() -> None:
    assert problems("hawq 1\rparam p: t\n")[0] == ("HQ103", 1, 7)


@pytest.mark.parametrize(
    "character", ["\x00", "\x0b", "\x85", "\u200b", "\u2028", "\ufeff", "\ud800"]
)
def test_invisible_characters_are_named_in_code_and_in_comments(character: str) -> None:
    for text in (f"hawq 1\nparam{character} p: t\n", f"hawq 1\n# a{character}b\nparam p: t\n"):
        tree, found = only(text)
        assert found.code == "HQ103"
        assert f"U+{ord(character):04X}" in found.message
        assert len(tree.items) == 1


def test_a_bidirectional_control_is_refused_even_in_a_string() -> None:
    _, found = only('hawq 1\nparam p: string = "user\u202e nimda"\n')

    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in found.message
    assert found.span is not None
    assert found.span.column == 24


def test_every_format_character_is_refused_but_the_visible_ones() -> None:
    visible = {*range(0x600, 0x606), 0x6DD, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    visible |= {*range(0x13430, 0x13440)}
    controls = (
        {
            point
            for point in range(0x110000)
            if unicodedata.category(chr(point)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        }
        - visible
        - {0x09, 0x0A}
    )

    assert {point for point in controls if not INVISIBLE.match(chr(point))} == set()
    assert all(INVISIBLE.match(chr(p)) for p in range(0x110000) if BIDIRECTIONAL.match(chr(p)))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a ≤ b", "a <= b"),
        ("a => b", "a >= b"),
        ("a =< b", "a <= b"),
        ("a <> b", "a != b"),
        ("a && b", "a and b"),
        ("a || b", "a or b"),
        ("!a", "not a"),
        ("a -> b", "a implies b"),
        ("a \N{MULTIPLICATION SIGN} b", "a * b"),
        ("'a'", '"a"'),
        ("“a”", '"a"'),
        ("1\u00a0MiB", "1 MiB"),
        ("1 // one", "1"),
        ("1;", "1"),
    ],
)
def test_signs_of_other_languages_are_read_as_what_was_meant(written: str, meant: str) -> None:
    tree, found = only(f"hawq 1\nparam p: t = {written}\n")
    item = tree.items[0]

    assert found.code == "HQ103"
    assert isinstance(item, Param)
    assert item.default is not None
    assert spanless(item.default) == spanless(param(meant))


def spanless(node: Any) -> Any:
    """A dump of a node without its places."""
    if isinstance(node, dict):
        return {k: spanless(v) for k, v in node.items() if k != "span"}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(node, (list, tuple)):
        return [spanless(v) for v in node]  # pyright: ignore[reportUnknownVariableType]
    return spanless(node.model_dump()) if hasattr(node, "model_dump") else node


@pytest.mark.parametrize("number", ["1.", ".5", "1__0", "1_", "0x1F", "0b1", "1.5.2"])
def test_a_malformed_number_is_one_error(number: str) -> None:
    assert [code for code, _, _ in problems(f"hawq 1\nparam p: t = {number}\n")] == ["HQ106"]


@pytest.mark.parametrize(
    "number",
    [
        "9223372036854775808",
        "1e309",
        "1e-400",
        "1e99999999999999999999",
        "1" * 401,
        "0." + "0" * 400,
    ],
)
def test_a_number_beyond_the_bounds_is_refused_without_computing_it(number: str) -> None:
    assert problems(f"hawq 1\nparam p: t = {number}\n") == [("HQ107", 2, 14)]


@pytest.mark.parametrize("escape", [r"\q", r"\x41", r"\u{}", r"\u{110000}", r"\u{D800}", r"\u0041"])
def test_an_unknown_escape_is_pointed_at(escape: str) -> None:
    code, line, column = problems(f'hawq 1\nparam p: t = "ab{escape}"\n')[0]

    assert (code, line, column) == ("HQ105", 2, 17)


def test_a_string_without_end_stops_before_the_brackets_that_close_the_line() -> None:
    tree, found = only('hawq 1\nmodel net {\n  source = onnx("a)  # c\n  batch = 1\n}\n')

    assert found.code == "HQ104"
    assert len(tree.items) == 1


def test_an_error_quotes_only_the_start_of_a_long_word() -> None:
    _, found = only(f"hawq 1\nparam p: size = 1 B {'a' * 5000}\n")

    assert len(found.message) < 120


def test_a_comment_silences_its_line_or_the_head_of_the_next_statement() -> None:
    text = (
        "hawq 1\n"
        "param a: t   # hawq: ignore[HQ214]\n"
        "# hawq: ignore[HQ214, HQ215]\n"
        "\n"
        "#hawq: ignore[ HQ216 ]\n"
        "param b: t = (\n"
        "  1\n"
        ")\n"
        "model m {  # hawq: ignore[HQ214]\n"
        "  # hawq: ignore[HQ217]\n"
        "}\n"
        "# hawq: ignore[HQ218]\n"
    )

    tree, diagnostics = parse_text(text, "a.hawq")

    assert diagnostics == ()
    assert [(c.codes, c.line, c.last_line) for c in tree.ignores] == [
        (("HQ214",), 2, 2),
        (("HQ214", "HQ215"), 6, 8),
        (("HQ216",), 6, 8),
        (("HQ214",), 9, 9),
        (("HQ217",), 0, 0),
        (("HQ218",), 0, 0),
    ]


@pytest.mark.parametrize(
    "comment", ["# hawq: ignore", "#hawq:ignore[]", "# HAWQ: ignore[HQ214]", "# hawq: ignore[HQ14]"]
)
def test_an_unreadable_comment_is_a_warning(comment: str) -> None:
    tree, found = only(f"hawq 1\nparam p: t  {comment}\n")

    assert (found.code, found.severity) == ("HQ190", "warning")
    assert not tree.partial


def test_a_comment_that_speaks_of_hawq_is_a_comment() -> None:
    assert problems("hawq 1  # hawq is the language\n# see hawq: no\n") == []
