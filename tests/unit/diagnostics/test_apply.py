"""Fixes are edits of a text, and mend what they belong to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hawqlang.base import Span
from hawqlang.diagnostics.apply import apply_fixes
from hawqlang.diagnostics.model import Diagnostic, Fix
from hawqlang.stages.parse import parse_text
from tests.test_spec_cases import CASES, EXPECT, FOLDER, check


def fix(line: int, column: int, end_line: int, end_column: int, replacement: str) -> Fix:
    span = Span(file="a", line=line, column=column, end_line=end_line, end_column=end_column)
    return Fix(span=span, replacement=replacement)


def test_edits_are_applied_in_the_order_of_the_text() -> None:
    first, second = fix(1, 2, 1, 3, "B"), fix(2, 1, 3, 2, "")
    assert apply_fixes("abc\nde\nfg", [second, first]) == ("aBc\ng", (first, second))


def test_of_edits_that_overlap_the_first_is_applied() -> None:
    outer, inner = fix(1, 1, 1, 4, "x"), fix(1, 2, 1, 3, "y")
    assert apply_fixes("abcd", [inner, outer]) == ("xd", (outer,))


def test_edits_at_one_place_are_all_applied_and_the_same_one_once() -> None:
    one, two = fix(1, 2, 1, 2, "x"), fix(1, 2, 1, 2, "y")
    assert apply_fixes("ab", [one, two, one]) == ("axyb", (one, two))


def test_columns_count_code_points_and_lines_keep_their_ends() -> None:
    assert apply_fixes("😀b\r\nc\r\n", [fix(1, 2, 1, 3, "x\ny"), fix(2, 9, 9, 1, "z")])[0] == (
        "😀x\r\ny\r\ncz"
    )


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("param a: size = 1 MiB; param b: t", "param a: size = 1 MiB\n param b: t"),
        ("param a: t; # c", "param a: t # c"),
        ("param a: t // c", "param a: t # c"),
        ("param a: t = .5", "param a: t = 0.5"),
        ("param a: t = 5.", "param a: t = 5.0"),
        ("param a: t = 1__000_", "param a: t = 1_000"),
        ("param a: t = [1 2]", "param a: t = [1, 2]"),
        ("param a: t = [1,,2]", "param a: t = [1,2]"),
        ("param a: t 1", "param a: t= 1"),
        ("target a\n{ b = 1 }", "target a { b = 1 }"),
        ("target a {\n b { c = 1 } d = 2\n}", "target a {\n b { c = 1 } \nd = 2\n}"),
    ],
)
def test_a_slip_of_syntax_is_mended_for_sure(wrong: str, right: str) -> None:
    _, diagnostics = parse_text(f"hawq 1\n{wrong}\n", "a.hawq")
    fixes = [d.fix for d in diagnostics if d.fix is not None and d.fix.sure]

    assert apply_fixes(f"hawq 1\n{wrong}\n", fixes)[0] == f"hawq 1\n{right}\n"
    assert parse_text(f"hawq 1\n{right}\n", "a.hawq")[1] == ()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('import "a.hawq', 'import "a.hawq"'),
        (r'import "a\d.hawq"', r'import "a\\d.hawq"'),
        ("param a: t = f(1", "param a: t = f(1)"),
        ("param a: t = f([1", "param a: t = f([1])"),
        ("param a: t = 1)", "param a: t = 1"),
        ("target a {\n  b { c = 1\n}", "target a {\n  b { c = 1\n}\n}"),
        ("target a {\n  b = 1\ntarget c {\n}", "target a {\n  b = 1\n}\ntarget c {\n}"),
        ("target a { }\n}", "target a { }\n"),
    ],
)
def test_what_was_meant_is_guessed(wrong: str, right: str) -> None:
    _, diagnostics = parse_text(f"hawq 1\n{wrong}\n", "a.hawq")
    fixes = [d.fix for d in diagnostics if d.fix is not None and not d.fix.sure]

    assert apply_fixes(f"hawq 1\n{wrong}\n", fixes)[0].rstrip() == f"hawq 1\n{right}".rstrip()
    assert parse_text(f"hawq 1\n{right}\n", "a.hawq")[1] == ()


def test_a_comment_between_a_head_and_its_brace_is_not_lost() -> None:
    _, diagnostics = parse_text("hawq 1\ntarget a  # mine\n{ b = 1 }\n", "a.hawq")

    assert [(d.code, d.fix) for d in diagnostics] == [("HQ123", None)]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("cases") / "errors"
    shutil.copytree(FOLDER / "errors", copy)
    for path in copy.glob("*.hawq"):
        path.write_bytes(path.read_bytes().partition(EXPECT)[0] + b"\n")
    return copy


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_fix_mends_its_diagnostic(
    case: Path, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cases)
    path = Path(case.name)
    before = path.read_bytes()
    diagnostics, sources = check(path)
    fixable = [d for d in diagnostics if d.fix is not None and d.fix.span.file == path.name]
    for found in fixable:
        fixed, applied = apply_fixes(sources[path.name], [f for f in (found.fix,) if f is not None])
        assert len(applied) == 1
        path.write_text(fixed, encoding="utf-8")
        left = check(path)[0]
        path.write_bytes(before)
        assert seen(found) not in map(seen, left), fixed


def seen(found: Diagnostic) -> tuple[object, ...]:
    assert found.span is not None
    return found.code, found.message, found.span.line, found.span.column
