"""The server survives every text, answers about it, and ends when it is told to."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from hawqlang.cli.app import run
from tests.support.editor import Editor, Json, RefusedError, position
from tests.unit.lsp.conftest import MAIN

TEXTS = [
    "",
    "\ufeff" + MAIN,
    MAIN.replace("\n", "\r\n"),
    MAIN.replace("\n", "\r"),
    MAIN[: MAIN.index("minimize")],
    MAIN.replace("}", ""),
    MAIN.replace("(", "[").replace("{", "("),
    "}" * 50 + MAIN,
    MAIN.replace("hawq 1", "hawq 2"),
    'hawq 1\nimport "main.hawq"\n',
    "hawq 1\nparam x: size = \u2028\x0c\x0b 6 MiB\n",
    "hawq 1\n" + "model " * 500,
    "a\x00b\ud83d",
]


def _ask_everything(editor: Editor, uri: str, where: tuple[int, int]) -> None:
    line, character = where
    everywhere = {
        "start": {"line": 0, "character": 0},
        "end": {"line": line, "character": character},
    }
    for method in ("hover", "completion", "definition"):
        editor.at(method, uri, where)
    editor.at("references", uri, where, context={"includeDeclaration": True})
    for method in ("documentSymbol", "foldingRange"):
        editor.about(method, uri)
    editor.about("formatting", uri, options={"tabSize": 2, "insertSpaces": True})
    editor.about("inlayHint", uri, range=everywhere)
    editor.about("codeAction", uri, range=everywhere, context={"diagnostics": []})


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_every_text_is_answered(editor: Editor, project: Callable[..., str], text: str) -> None:
    uri = editor.open(f"{project()}/main.hawq", text)

    assert isinstance(editor.findings(uri), list)
    for where in ((0, 0), (3, 2), (10, 5), (10**6, 10**6)):
        _ask_everything(editor, uri, where)
    editor.close(uri)


def test_a_document_without_a_file_is_served(editor: Editor) -> None:
    text = "hawq 1\n\nmodel net {\n  soruce = 1\n}\n"
    document = {"uri": "untitled:Untitled-1", "languageId": "hawq", "version": 1, "text": text}
    editor.tell("textDocument/didOpen", textDocument=document)

    assert editor.findings("untitled:Untitled-1")[0]["code"] == "HQ205"


def test_what_is_not_open_is_answered_with_nothing(editor: Editor) -> None:
    assert editor.at("hover", editor.uri("nowhere.hawq"), (0, 0)) is None
    assert editor.at("completion", editor.uri("nowhere.hawq"), (0, 0)) == []


def test_python_code_that_a_spec_names_is_not_run(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project()
    proof = editor.root / folder / "ran"
    (editor.root / folder / "evil.py").write_text(f"open({str(proof)!r}, 'w')\n", encoding="utf-8")
    text = MAIN.replace('layers("net.json")', 'python("evil:make")')
    uri = editor.open(f"{folder}/main.hawq", text)

    found = editor.findings(uri)
    _ask_everything(editor, uri, position(text, '"layer1*"', 3))

    assert "HQ231" in [one["code"] for one in found]
    assert not proof.exists()


def test_renaming_nothing_is_refused_and_the_server_goes_on(
    editor: Editor, project: Callable[..., str]
) -> None:
    uri = editor.open(f"{project()}/main.hawq", "hawq 1\n")
    with pytest.raises(RefusedError):
        editor.at("rename", uri, (0, 2), newName="x")

    assert editor.about("documentSymbol", uri) == []


def test_options_of_another_type_are_left_out(editor: Editor) -> None:
    root = editor.root / "options"
    root.mkdir()
    options: Json = {"set": [1], "trust": "yes", "root": 5, "debounce": "soon", "prove": -1}
    other = Editor(root, options)
    uri = other.open("a.hawq", "hawq 1\n")

    assert other.findings(uri) == []
    assert other.stop() == 0


@pytest.mark.parametrize(
    "corners",
    [((10**6, 0), (10**6, 5)), ((0, 10**6), (0, 10**6)), ((5, 3), (2, 0)), ((0, 0), (10**6, 0))],
)
def test_an_edit_beyond_the_text_is_taken(
    editor: Editor, project: Callable[..., str], corners: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    uri = editor.open(f"{project()}/main.hawq", MAIN)
    start, end = ({"line": line, "character": character} for line, character in corners)

    version = editor.edit(uri, {"range": {"start": start, "end": end}, "text": "x"})

    assert isinstance(editor.findings(uri, version), list)
    editor.edit(uri, {"text": MAIN})
    assert len(editor.about("documentSymbol", uri)) == 3


def test_a_server_whose_editor_is_gone_ends(editor: Editor) -> None:
    root = editor.root / "gone"
    root.mkdir()

    assert Editor(root).leave() == 0


def test_without_its_package_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pygls", None)
    for name in [one for one in sys.modules if one.startswith(("hawqlang.lsp", "pygls."))]:
        monkeypatch.delitem(sys.modules, name)

    with pytest.raises(SystemExit) as ended:
        run(["lsp"])

    assert ended.value.code == 2
    assert "HQ885" in capsys.readouterr().err
