"""``# hawq: ignore[…]`` silences warnings and nothing else."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Span
from hawqlang.diagnostics.ignore import apply_ignores
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.syntax import IgnoreComment


def place(line: int, file: str = "a.hawq") -> Span:
    return Span(file=file, line=line, column=1, end_line=line, end_column=2)


def found(
    code: str,
    line: int,
    severity: Literal["error", "warning"] = "warning",
    file: str = "a.hawq",
) -> Diagnostic:
    return Diagnostic(code=code, severity=severity, message="m", span=place(line, file))


def comment(*codes: str, line: int, last_line: int = 0) -> IgnoreComment:
    return IgnoreComment(codes=codes, line=line, span=place(1), last_line=last_line)


def left(*diagnostics: Diagnostic, comments: tuple[IgnoreComment, ...]) -> list[str]:
    return [d.code for d in apply_ignores(diagnostics, comments)]


def test_a_warning_on_the_line_is_silenced() -> None:
    assert left(found("HQ214", 3), comments=(comment("HQ214", line=3),)) == []


def test_a_warning_anywhere_in_the_head_of_the_statement_is_silenced() -> None:
    reach = (comment("HQ214", line=3, last_line=5),)

    assert left(found("HQ214", 3), found("HQ214", 5), comments=reach) == []
    assert left(found("HQ214", 6), comments=reach) == ["HQ214", "HQ191"]


def test_other_codes_lines_and_files_are_not() -> None:
    comments = (comment("HQ214", line=3),)

    for other in (found("HQ215", 3), found("HQ214", 4), found("HQ214", 3, file="b.hawq")):
        assert left(other, comments=comments) == [other.code, "HQ191"]
    assert left(Diagnostic(code="HQ214", severity="warning", message="m"), comments=comments) == [
        "HQ214",
        "HQ191",
    ]


def test_an_error_is_never_silenced_and_the_comment_says_so() -> None:
    error = found("HQ205", 3, "error")

    kept = apply_ignores([error], [comment("HQ205", line=3)])

    assert [d.code for d in kept] == ["HQ205", "HQ191"]
    assert kept[1].notes == ("errors cannot be ignored",)


def test_an_unused_code_is_a_warning_at_the_comment() -> None:
    kept = apply_ignores([found("HQ214", 3)], [comment("HQ214", "HQ215", "HQ216", "HQ217", line=3)])

    (unused,) = kept
    assert (unused.code, unused.severity, unused.span) == ("HQ191", "warning", place(1))
    assert "HQ215, HQ216 and HQ217" in unused.message
    assert unused.help == "delete HQ215, HQ216 and HQ217"


def test_a_code_whose_check_did_not_run_is_not_called_unused() -> None:
    kept = apply_ignores([], [comment("HQ214", "HQ305", line=3)], judge="12")

    assert [d.message for d in kept] == ["nothing here is silenced by ignoring HQ214"]
    assert apply_ignores([], [comment("HQ305", line=3)], judge="12") == ()
