"""Diagnostics as text: places, carets, several files, and what a terminal must not be sent."""

from __future__ import annotations

import re

import pytest

from hawqlang.base import NOWHERE, Span
from hawqlang.diagnostics.model import Diagnostic, Label
from hawqlang.diagnostics.render import WIDTH, render_text


def span(line: int, column: int, end_column: int, end_line: int = 0, file: str = "a.hawq") -> Span:
    return Span(
        file=file, line=line, column=column, end_line=end_line or line, end_column=end_column
    )


def found(at: Span | None, label: str = "", **more: object) -> Diagnostic:
    fields = {"code": "HQ999", "severity": "error", "message": "wrong", "span": at, "label": label}
    return Diagnostic.model_validate(fields | more)


def excerpt(diagnostic: Diagnostic, source: str) -> list[str]:
    """The lines below the place."""
    return render_text([diagnostic], {"a.hawq": source}).splitlines()[3:]


def test_the_example_of_the_language_page() -> None:
    source = "\n" * 42 + (
        "    fits:   size <= budget\n"
        "    fast:   latency <= 3 ms\n"
        "    ends:   precision(first, last) == w8a8\n"
    )
    diagnostic = Diagnostic(
        code="HQ501",
        severity="error",
        message="no allocation satisfies 'fits' and 'ends' together",
        span=span(43, 5, 27, file="specs/resnet18.hawq"),
        label="allows 5.70 MiB; together with 'ends' at least 5.82 MiB is needed",
        labels=(
            Label(
                span=span(45, 5, 43, file="specs/resnet18.hawq"),
                message="adds 0.25 MiB to the smallest, 5.57 MiB",
            ),
        ),
        notes=("run `hawqc explain HQ501` for more",),
        help="feasible from `param budget: size = 5.82 MiB`",
    )

    assert render_text([diagnostic], {"specs/resnet18.hawq": source}) == (
        "error[HQ501]: no allocation satisfies 'fits' and 'ends' together\n"
        "  --> specs/resnet18.hawq:43:5\n"
        "   |\n"
        "43 |     fits:   size <= budget\n"
        "   |     ^^^^^^^^^^^^^^^^^^^^^^"
        " allows 5.70 MiB; together with 'ends' at least 5.82 MiB is needed\n"
        "45 |     ends:   precision(first, last) == w8a8\n"
        "   |     --------------------------------------"
        " adds 0.25 MiB to the smallest, 5.57 MiB\n"
        "   = help: feasible from `param budget: size = 5.82 MiB`\n"
        "   = note: run `hawqc explain HQ501` for more\n"
    )


@pytest.mark.parametrize("at", [None, NOWHERE])
def test_a_diagnostic_without_place_is_its_message_and_what_helps(at: Span | None) -> None:
    text = render_text([found(at, notes=("n",), help="h")], {})

    assert text == "error[HQ999]: wrong\n  = help: h\n  = note: n\n"


def test_a_label_nowhere_is_left_out() -> None:
    diagnostic = found(span(1, 1, 2), labels=(Label(span=NOWHERE, message="x"),))

    assert excerpt(diagnostic, "ab") == ["1 | ab", "  | ^"]


def test_a_place_in_a_file_that_may_not_be_quoted_is_only_named() -> None:
    diagnostic = found(span(3, 5, 7, file="net.onnx"), "this weight")

    assert render_text([diagnostic], {"a.hawq": "secret"}) == (
        "error[HQ999]: wrong\n --> net.onnx:3:5\n  = this weight\n"
    )


def test_a_place_that_is_a_whole_file_has_no_line() -> None:
    assert " --> a.hawq\n" in render_text([found(span(0, 0, 0))], {"a.hawq": "text"})


def test_labels_stand_below_their_lines_in_the_order_of_the_text() -> None:
    diagnostic = found(
        span(3, 1, 2),
        "main",
        labels=(
            Label(span=span(1, 3, 4), message="right"),
            Label(span=span(1, 1, 2), message="left"),
            Label(span=span(3, 3, 4), message="beside"),
        ),
    )

    assert excerpt(diagnostic, "a b\nc\nd e\n") == [
        "1 | a b",
        "  | - left",
        "  |   - right",
        "3 | d e",
        "  | ^ main",
        "  |   - beside",
    ]


def test_a_label_in_another_file_has_its_own_place_and_excerpt() -> None:
    diagnostic = found(
        span(1, 1, 2), labels=(Label(span=span(100, 1, 2, file="b.hawq"), message="there"),)
    )

    text = render_text([diagnostic], {"a.hawq": "a", "b.hawq": "\n" * 99 + "b"})

    assert text.splitlines()[1:] == [
        "   --> a.hawq:1:1",
        "    |",
        "  1 | a",
        "    | ^",
        "   ::: b.hawq:100:1",
        "    |",
        "100 | b",
        "    | - there",
    ]


def test_a_span_over_several_lines_shows_its_first_and_its_last() -> None:
    assert excerpt(found(span(1, 3, 4, 4), "this block"), "a {\n  b\n  c\n  }\n") == [
        "1 | a {",
        "  |   ^",
        "4 |   }",
        "  |   ^ this block",
    ]


def test_a_span_that_ends_at_the_start_of_a_line_ends_on_the_line_before() -> None:
    assert excerpt(found(span(1, 1, 1, 2), "x"), "abc\ndef\n") == ["1 | abc", "  | ^^^ x"]


def test_a_place_behind_the_end_of_a_line_or_of_the_file_has_one_caret() -> None:
    assert excerpt(found(span(1, 4, 4)), "abc") == ["1 | abc", "  |    ^"]
    assert excerpt(found(span(2, 1, 1)), "abc\n") == ["2 |", "  | ^"]
    assert excerpt(found(span(9, 1, 1)), "abc\n") == []


def test_carets_stand_below_what_a_terminal_shows() -> None:
    assert excerpt(found(span(1, 4, 5)), "漢字 x") == ["1 | 漢字 x", "  |      ^"]
    assert excerpt(found(span(1, 1, 3)), "漢字 x") == ["1 | 漢字 x", "  | ^^^^"]
    assert excerpt(found(span(1, 3, 4)), "e\u0301x") == ["1 | e\u0301x", "  |  ^"]
    assert excerpt(found(span(1, 3, 4)), "\ta\tb") == [
        "1 |     a    b",
        "  |      ^^^^",
    ]
    assert excerpt(found(span(1, 2, 3)), "ab\r\nc") == ["1 | ab", "  |  ^"]


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    source = "x" * 500 + "HERE" + "y" * 500

    line, carets = excerpt(found(span(1, 501, 505)), source)

    assert len(line) < WIDTH + 10
    assert line.startswith("1 | …x")
    assert line.endswith("y…")
    assert line[carets.index("^") : carets.rindex("^") + 1] == "HERE"


def test_a_long_line_of_wide_characters_keeps_its_carets_in_place() -> None:
    line, carets = excerpt(found(span(1, 301, 302)), "漢" * 300 + "x" + "字" * 300)

    shown = line.removeprefix("1 | …")
    assert shown.index("x") * 2 + len("1 | …") == carets.index("^")


def test_no_control_reaches_the_terminal() -> None:
    hostile = "a\x1b[31m\u202e\x00\ud800\u200b\x85b"
    diagnostic = found(
        span(1, 1, 2),
        hostile,
        message=hostile,
        help=hostile + "\nnext",
        notes=(hostile,),
        labels=(Label(span=span(1, 2, 3), message=hostile),),
    )

    text = render_text([diagnostic, found(span(1, 1, 1, file=hostile))], {"a.hawq": hostile})

    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\ud800]", text) is None
    text.encode("utf-8")


def test_colour_is_only_added() -> None:
    diagnostic = found(
        span(1, 1, 2), "l", labels=(Label(span=span(1, 3, 4), message="m"),), help="h"
    )
    sources = {"a.hawq": "a b"}

    colored = render_text([diagnostic], sources, color=True)

    assert "\x1b[1;31merror[HQ999]\x1b[0m" in colored
    assert re.sub("\x1b\\[[0-9;]*m", "", colored) == render_text([diagnostic], sources)


def test_diagnostics_are_separated_by_an_empty_line() -> None:
    assert render_text([found(None), found(None)], {}) == (
        "error[HQ999]: wrong\n\nerror[HQ999]: wrong\n"
    )
    assert render_text([], {}) == ""
