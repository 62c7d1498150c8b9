"""The Pygments lexer: every spec is coloured without an error, and what is coloured is the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from pygments.token import Error, Keyword, Name, Number, Operator, Token
from rich.console import Console

from hawqlang.cli import common
from hawqlang.highlight import HawqLexer
from hawqlang.resources import data_dir

ROOT = data_dir("specs").parent
SPECS = [*(ROOT / "specs").rglob("*.hawq"), ROOT / "tests" / "spec_cases" / "whole.hawq"]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_is_coloured_without_an_error(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = list(HawqLexer().get_tokens(text))

    assert "".join(value for _, value in found) == text
    assert [value for kind, value in found if kind in Error] == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("quantize a on b", Keyword, "on"),
        ("size = 1", Name.Attribute, "size"),
        ("a: size <= 6 MiB", Name.Builtin, "size"),
        ("a: size <= 6 MiB", Keyword.Type, "MiB"),
        ("a: x <= 6_000.5", Number, "6_000.5"),
        ("a: not b", Operator.Word, "not"),
        ("p = w4a8", Name.Constant, "w4a8"),
        ("p = onnx(", Name.Function, "onnx"),
        ("p = nvidia.t4", Name, "nvidia.t4"),
        ("p ; q", Token.Error, ";"),
    ],
)
def test_words_are_told_apart(text: str, kind: object, value: str) -> None:
    assert (kind, value) in list(HawqLexer().get_tokens(text))


def test_explain_uses_it_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from hawqlang.cli import explain

    console = Console(force_terminal=True, color_system="standard", width=100, record=True)
    monkeypatch.setattr(explain, "stdout", console)
    explain.explain("HQ201")

    assert "\x1b[" in console.export_text(styles=True)
    assert common.stdout is not console
