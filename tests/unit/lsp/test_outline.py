"""Outline, folding, formatting and inlay hints through the protocol."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.editor import Editor, Json, applied
from tests.unit.lsp.conftest import MAIN

OPTIONS: Json = {"tabSize": 2, "insertSpaces": True}
EVERYWHERE: Json = {
    "start": {"line": 0, "character": 0},
    "end": {"line": 1000, "character": 0},
}


def test_the_outline_has_declarations_builds_and_what_they_hold(editor: Editor, main: str) -> None:
    found = editor.about("documentSymbol", main)
    names = {one["name"]: [inner["name"] for inner in one.get("children") or ()] for one in found}
    subject = next(inner for inner in found[-1]["children"] if inner["name"] == "subject to")

    assert names == {
        "lib.hawq": [],
        "net": ["source"],
        "small": ["precision", "weights", "minimize", "subject to", 'layer "layer2.conv"'],
    }
    assert [one["name"] for one in subject["children"]] == ["fits", "fast", "tail", "many"]


def test_blocks_and_comments_fold(editor: Editor, main: str) -> None:
    found = editor.about("foldingRange", main)
    lines = {(one["startLine"], one["endLine"], one.get("kind")) for one in found}
    first = MAIN.split("\n").index("quantize net on box as small {")

    assert (first, MAIN.count("\n") - 2, None) in lines
    assert (first - 2, first - 1, "comment") in lines


def test_formatting_is_that_of_fmt(editor: Editor, project: Callable[..., str]) -> None:
    uri = editor.open(f"{project()}/main.hawq", MAIN.replace("    rounding = ", "rounding="))

    text = MAIN.replace("    rounding = ", "rounding=")
    edits = editor.about("formatting", uri, options=OPTIONS)

    from hawqlang.stages.format import format_text

    assert applied(text, edits) == format_text(MAIN, "main.hawq").text


def test_a_formatted_spec_and_a_broken_one_stay(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project()
    from hawqlang.stages.format import format_text

    formatted = format_text(MAIN, "main.hawq").text
    assert formatted is not None
    good = editor.open(f"{folder}/main.hawq", formatted)
    bad = editor.open(f"{folder}/bad.hawq", MAIN + "model {")

    assert editor.about("formatting", good, options=OPTIONS) == []
    assert editor.about("formatting", bad, options=OPTIONS) == []


def test_hints_say_what_calculations_come_to(editor: Editor, main: str) -> None:
    found = editor.about("inlayHint", main, range=EVERYWHERE)
    lines = MAIN.split("\n")
    shown: dict[str, str] = {lines[one["position"]["line"]].strip(): one["label"] for one in found}

    assert shown["fits: size <= budget"] == "= 12 KiB"
    fast = shown["fast: latency <= 99.9% of latency(w8a8) + 1 ns"]
    assert fast.startswith("= ")
    assert fast.endswith(" us")
    assert len(found) == 2
