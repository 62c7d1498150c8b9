"""Findings while typing, and their fixes, through the protocol."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.editor import Editor, Json, applied, position
from tests.unit.lsp.conftest import LIBRARY, MAIN

EVERYWHERE: Json = {
    "start": {"line": 0, "character": 0},
    "end": {"line": 1000, "character": 0},
}


def _codes(found: list[Json]) -> list[str]:
    return [one["code"] for one in found]


def _replace(text: str, old: str, new: str) -> Json:
    """Return the edit that replaces a piece of a text."""
    start, end = position(text, old), position(text, old, len(old))
    return {
        "range": {
            "start": {"line": start[0], "character": start[1]},
            "end": {"line": end[0], "character": end[1]},
        },
        "text": new,
    }


def test_a_spec_is_judged_as_it_is_typed(editor: Editor, project: Callable[..., str]) -> None:
    uri = editor.open(f"{project()}/main.hawq", MAIN)
    assert editor.findings(uri) == []

    version = editor.edit(uri, _replace(MAIN, "size <= budget", "size <= bugdet"))
    found = editor.findings(uri, version)

    assert _codes(found) == ["HQ201"]
    assert found[0]["range"]["start"] == {"line": 20, "character": 18}
    assert "did you mean `budget`?" in found[0]["message"]


def test_an_edit_after_an_edit_is_seen_from_the_first(
    editor: Editor, project: Callable[..., str]
) -> None:
    uri = editor.open(f"{project()}/main.hawq", MAIN)
    wrong = MAIN.replace("size <= budget", "siez <= budget")

    version = editor.edit(
        uri, _replace(MAIN, "size <= budget", "siez <= budget"), _replace(wrong, "siez", "size")
    )

    assert editor.findings(uri, version) == []


def test_what_cannot_be_met_is_told_too(editor: Editor, project: Callable[..., str]) -> None:
    uri = editor.open(f"{project()}/main.hawq", MAIN.replace("budget\n", "1 KiB\n"))

    resolved, proven = editor.findings(uri), editor.findings(uri)

    assert "HQ501" not in _codes(resolved)
    assert "HQ501" in _codes(proven)


def test_an_unsaved_import_counts_and_not_its_file(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project(main=MAIN)
    uri = editor.open(f"{folder}/main.hawq", MAIN)
    assert editor.findings(uri) == []

    library = editor.open(f"{folder}/lib.hawq", LIBRARY)
    editor.edit(library, _replace(LIBRARY, "budget", "room"))
    found = editor.findings(uri)
    while not found:
        found = editor.findings(uri)
    assert _codes(found)[0] == "HQ201"

    editor.close(library)
    while editor.findings(uri):
        pass


def test_an_error_in_an_import_is_shown_in_its_file(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project(lib=LIBRARY.replace("12 KiB", "12 ms"), main=MAIN)
    editor.open(f"{folder}/main.hawq", MAIN)

    found = editor.findings(editor.uri(f"{folder}/lib.hawq"), None)

    assert _codes(found) == ["HQ216"]


def test_a_fix_is_offered_and_mends(editor: Editor, project: Callable[..., str]) -> None:
    text = MAIN.replace("rounding = nearest", "ruonding = nearest")
    uri = editor.open(f"{project()}/main.hawq", text)
    line, character = position(text, "ruonding", 2)
    place = {"line": line, "character": character}

    actions = editor.about(
        "codeAction",
        uri,
        range={"start": place, "end": place},
        context={"diagnostics": [], "only": ["quickfix"]},
    )

    assert [action["title"] for action in actions] == ["Write `rounding`"]
    assert not actions[0]["isPreferred"]
    assert applied(text, actions[0]["edit"]["changes"][uri]) == MAIN


def test_everything_sure_is_mended_at_once(editor: Editor, project: Callable[..., str]) -> None:
    text = MAIN.replace("rounding = nearest", "rounding = nearest;").replace(
        "precision = [w4a4, w8a8]", "precision = ['w4a4', w8a8]"
    )
    uri = editor.open(f"{project()}/main.hawq", text)

    (action,) = editor.about(
        "codeAction",
        uri,
        range=EVERYWHERE,
        context={"diagnostics": [], "only": ["source.fixAll"]},
    )
    mended = applied(text, action["edit"]["changes"][uri])

    assert "rounding = nearest\n" in mended
    assert '"w4a4"' in mended


def test_positions_count_utf_16(editor: Editor, project: Callable[..., str]) -> None:
    text = MAIN.replace("size <= budget", "size <= budget # 😀 é").replace(
        "# in a row.", '# 😀 in "a row'
    )
    text = text.replace('layers("net.json")', 'layers("😀😀" + neet)')
    uri = editor.open(f"{project()}/main.hawq", text)

    found = next(one for one in editor.findings(uri) if one["code"] == "HQ201")
    line: bytes = text.split("\n")[found["range"]["start"]["line"]].encode("utf-16-le")
    start, end = (found["range"][side]["character"] for side in ("start", "end"))

    assert line[2 * start : 2 * end].decode("utf-16-le") == "neet"
    assert editor.at("hover", uri, position(text, "budget #", 2)) is not None


def test_a_client_may_ask_for_other_units(editor: Editor) -> None:
    root = editor.root / "utf8"
    root.mkdir()
    other = Editor(root, {"debounce": 0}, general={"positionEncodings": ["utf-8"]})
    uri = other.open("a.hawq", 'hawq 1\nparam é: size = 1 B\nparam a: string = "é" + neet\n')

    found = other.findings(uri)
    other.stop()

    assert other.capabilities["positionEncoding"] == "utf-8"
    starts = [one["range"]["start"] for one in found if one["range"]["start"]["line"] == 2]
    assert {"line": 2, "character": 18} in starts
