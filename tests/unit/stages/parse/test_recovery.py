"""After an error: what is still reported, what is not, and what is left of the tree."""

from __future__ import annotations

import pytest

from hawqlang.ir.syntax import (
    Block,
    Constraint,
    Declaration,
    Item,
    Param,
    QuantizeDecl,
    Setting,
    Statement,
    Subject,
)
from hawqlang.stages.parse import parse_text
from hawqlang.stages.parse.tokens import MAX_ERRORS


def parse(text: str) -> tuple[list[str], list[str]]:
    """What is left of a text, and its errors as ``code line:column``."""
    tree, diagnostics = parse_text(text, "a.hawq")
    errors = [f"{d.code} {d.span.line}:{d.span.column}" for d in diagnostics if d.span is not None]
    return [kept for item in tree.items for kept in outline(item)], errors


def outline(node: Item | Statement | Constraint) -> list[str]:
    match node:
        case Param() | Setting() | Constraint():
            return [node.name.text]
        case Declaration() | Block():
            inner = [kept for entry in node.body.entries for kept in outline(entry)]
            return [f"{node.name.text}{{", *inner, "}"]
        case QuantizeDecl():
            inner = [kept for statement in node.statements for kept in outline(statement)]
            return [f"{node.model.text}{{", *inner, "}"]
        case Subject():
            return ["subject{", *(c.name.text for c in node.constraints), "}"]
        case _:
            return [type(node).__name__]


def test_every_statement_reports_its_own_error_and_the_others_are_kept() -> None:
    kept, errors = parse(
        "hawq 1\n"
        "param a: size =\n"
        "param b: size = 1 B\n"
        "model m {\n"
        "  x = [1 2]\n"
        "  y = 1\n"
        "  z = )\n"
        "}\n"
        "quantize m on t {\n"
        "  subject to {\n"
        "    p: size <=\n"
        "    q: size <= 1\n"
        "  }\n"
        "  minimize\n"
        "  emit card\n"
        "}\n"
    )

    assert errors == ["HQ132 2:16", "HQ136 5:10", "HQ122 7:7", "HQ132 11:15", "HQ132 14:11"]
    assert kept == ["b", "m{", "y", "}", "m{", "subject{", "q", "}", "Emit", "}"]


def test_a_statement_reports_one_error() -> None:
    kept, errors = parse("hawq 1\nparam a: t = [1 2, , 3) ~\nparam b: t\n")

    assert errors == ["HQ122 2:23", "HQ103 2:25"]
    assert kept == ["b"]


def test_a_misspelled_word_is_read_as_the_word_that_was_meant() -> None:
    kept, errors = parse("hawq 1\nmodle m {\n  a = 1\n}\nquantize m on t {\n  emmit card\n}\n")

    assert errors == ["HQ130 2:1", "HQ130 6:3"]
    assert kept == ["m{", "a", "}", "m{", "Emit", "}"]


def test_a_word_that_resembles_none_is_not_guessed_at() -> None:
    _, errors = parse("hawq 1\nresnet { a = 1 }\n")

    assert errors == ["HQ139 2:1"]


def test_a_block_with_a_wrong_head_is_left_out_but_its_errors_are_found() -> None:
    kept, errors = parse(
        "hawq 1\nmodel 5 {\n  a = 1\n  b =\n}\nquantize x {\n  c =\n  subject {\n  d:\n  }\n}\n"
    )

    assert errors == [
        "HQ133 2:7",
        "HQ132 4:6",
        "HQ133 6:12",
        "HQ132 7:6",
        "HQ133 8:11",
        "HQ132 9:5",
    ]
    assert kept == []


def test_a_block_without_a_head_is_left_out_but_its_errors_are_found() -> None:
    kept, errors = parse("hawq 1\nmodel m {\n  a { }\n\n  {\n    b = 1\n    c =\n  }\n}\n")

    assert errors == ["HQ139 5:3", "HQ132 7:8"]
    assert kept == ["m{", "a{", "}", "}"]


def test_a_block_where_none_can_stand_is_skipped() -> None:
    kept, errors = parse(
        "hawq 1\nquantize m on t {\n  subject to {\n"
        "    a {\n      b { c d }\n    }\n    e: f\n  }\n}\n"
    )

    assert errors == ["HQ134 4:7"]
    assert kept == ["m{", "subject{", "e", "}", "}"]


@pytest.mark.parametrize(
    ("text", "errors", "kept"),
    [
        (
            "model m {\n  a = f(1,\n    b = [2,\n  c = 3\n}\n",
            ["HQ120 4:9"],
            ["m{", "c", "}"],
        ),
        ("model m {\n  a = f(1\n}\nmodel n { }\n", ["HQ120 3:8"], ["m{", "}", "n{", "}"]),
        ("param a: t = (1\nparam b: t = 2\n", ["HQ120 2:14"], ["b"]),
        ("param a: t = f((1, 2\n", ["HQ120 2:16"], []),
        ("param a: t = [(1, 2]\nparam b: t", ["HQ120 2:15"], ["b"]),
        ("param a: t = (1, 2]\nparam b: t", ["HQ122 2:19"], ["a", "b"]),
        ("model m {\n  a = (1\n  b = (2)\n}\n", ["HQ120 3:7"], ["m{", "b", "}"]),
        ("model m {\n  a = (1\n  b = 2)\n}\n", ["HQ120 3:7"], ["m{", "}"]),
    ],
)
def test_an_unclosed_bracket_is_one_error_at_its_opener(
    text: str, errors: list[str], kept: list[str]
) -> None:
    assert parse(f"hawq 1\n{text}") == (kept, errors)


@pytest.mark.parametrize(
    ("text", "errors", "kept"),
    [
        ("model m {\n  a = 1\n\nmodel n { }\n", ["HQ121 2:9"], ["m{", "a", "}", "n{", "}"]),
        ("model m {\n  a = 1\n", ["HQ121 2:9"], ["m{", "a", "}"]),
        (
            "model m {\n  a {\n    b = 1\n  c {\n    d = 1\n  }\n}\nmodel n { }\n",
            ["HQ121 3:5"],
            ["m{", "a{", "b", "}", "c{", "d", "}", "}", "n{", "}"],
        ),
        (
            "model m {\n  a {\n    b = 1\n}\nparam p: t\n",
            ["HQ121 3:5"],
            ["m{", "a{", "b", "}", "}", "p"],
        ),
        (
            "model m {\n  a {\n  }\n  }\n  b = 1\n}\nparam p: t\n",
            ["HQ122 5:3"],
            ["m{", "a{", "}", "b", "}", "p"],
        ),
        ("model m { a = 1 }\n}\nparam p: t\n", ["HQ122 3:1"], ["m{", "a", "}", "p"]),
        ("}\nparam p: t\n", ["HQ122 2:1"], ["p"]),
        ("model m\n\n\n{\n  a = 1\n}\n", ["HQ123 5:1"], ["m{", "a", "}"]),
    ],
)
def test_a_missing_or_surplus_brace_is_one_error_and_the_blocks_stay_apart(
    text: str, errors: list[str], kept: list[str]
) -> None:
    assert parse(f"hawq 1\n{text}") == (kept, errors)


def test_a_missing_brace_says_which_line_stands_outside() -> None:
    _, diagnostics = parse_text("hawq 1\nmodel m {\n  a = 1\nmodel n { }\n", "a.hawq")

    assert [(label.span.line, label.message) for label in diagnostics[0].labels] == [
        (4, "this line stands outside of it")
    ]


def test_the_rest_of_a_statement_on_the_next_line_is_not_an_error_of_its_own() -> None:
    kept, errors = parse("hawq 1\nparam a: size =\n  6 MiB\n  + 1 MiB\nparam b: size\n")

    assert errors == ["HQ132 2:16"]
    assert kept == ["b"]


def test_what_stands_behind_a_block_does_not_harm_it() -> None:
    kept, errors = parse("hawq 1\nmodel m { a = 1 } ]\nmodel n { b = 1 } 5\nparam p: t\n")

    assert errors == ["HQ122 2:19", "HQ139 3:19"]
    assert kept == ["m{", "a", "}", "n{", "b", "}", "p"]


def test_two_statements_on_a_line_are_both_read() -> None:
    kept, errors = parse("hawq 1\nmodel m { a = 1 b = 2 c = 3 } param p: t\n")

    assert errors == ["HQ124 2:17", "HQ124 2:31"]
    assert kept == ["m{", "a", "b", "c", "}", "p"]


def test_a_file_without_header_is_read_as_if_it_had_one() -> None:
    kept, errors = parse("param a: t\nparam b: t =\n")

    assert errors == ["HQ110 1:1", "HQ132 2:13"]
    assert kept == ["a"]


@pytest.mark.parametrize("header", ["hawq", "hawq one", 'hawq "1"', "Hawq 1", "hawk 1"])
def test_a_misspelled_header_is_one_error(header: str) -> None:
    assert parse(f"{header}\nparam a: t\n") == (["a"], ["HQ110 1:1"])


@pytest.mark.parametrize("version", ["2", "0", "1.0", "1e0", "2_0", "99999999999999999999", "1x"])
def test_another_version_is_all_that_is_said(version: str) -> None:
    kept, errors = parse(f"# c\n\n  hawq {version}\nmodel {{{{ ~ ))\n")

    assert errors == ["HQ111 3:8"]
    assert kept == []


def test_nothing_is_said_beyond_a_hundred_errors() -> None:
    tree, diagnostics = parse_text("hawq 1\n" + "param p: t =\n" * 500 + "param q: t\n", "a.hawq")

    assert len(diagnostics) == MAX_ERRORS
    assert "the rest of the file was not looked at" in diagnostics[-1].notes[0]
    assert [type(item).__name__ for item in tree.items] == ["Param"]


def test_many_warnings_hide_no_error() -> None:
    tree, diagnostics = parse_text("hawq 1\n" + "# hawq: x\n" * 500 + "param p: t =\n", "a.hawq")

    assert [d.severity for d in diagnostics] == ["warning"] * MAX_ERRORS + ["error"]
    assert tree.partial


def test_nested_too_deeply_is_said_once() -> None:
    for text in (
        "(" * 65 + "1" + ")" * 65,
        "f(" * 80 + ")" * 80,
        "-" * 300 + "1",
        "1" + "+1" * 300,
    ):
        _, errors = parse(f"hawq 1\nparam a: t = {text}\n")
        assert [error[:5] for error in errors] == ["HQ108"]
    _, errors = parse("hawq 1\n" + "model m {\n" + "a {\n" * 64 + "}\n" * 65)
    assert errors == ["HQ108 66:3"]


def test_nesting_within_the_limits_parses() -> None:
    for text in (
        "(" * 64 + "1" + ")" * 64,
        "f(" * 64 + ")" * 64,
        "-" * 190 + "1",
        "1" + "+1" * 190,
    ):
        assert parse(f"hawq 1\nparam a: t = {text}\n") == (["a"], [])
    blocks = "model m {\n" + "a {\n" * 63 + "}\n" * 64
    assert parse(f"hawq 1\n{blocks}")[1] == []


def test_diagnostics_come_in_the_order_of_the_text() -> None:
    _, diagnostics = parse_text("hawq 1\nmodle m {\n a =\n b = ~\n c = (\n}\n# hawq: x\n", "a.hawq")

    places = [(d.span.line, d.span.column) for d in diagnostics if d.span is not None]
    assert places == sorted(places)
    assert len(places) == 5
