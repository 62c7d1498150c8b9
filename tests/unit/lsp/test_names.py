"""Definition, references and renaming through the protocol, over several files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.editor import Editor, Json, RefusedError, applied, position
from tests.unit.lsp.conftest import LIBRARY, MAIN


def _where(editor: Editor, uri: str, location: Json) -> tuple[str, int, int]:
    start = location["range"]["start"]
    assert location["uri"].startswith("file://")
    del editor, uri
    return Path(location["uri"]).name, start["line"], start["character"]


@pytest.mark.parametrize(
    ("needle", "inside", "wanted"),
    [
        ("budget", 3, ("lib.hawq", 2, 6)),
        ("box as", 1, ("lib.hawq", 4, 7)),
        ("net on", 1, ("main.hawq", 4, 6)),
        ('"lib.hawq"', 3, ("lib.hawq", 0, 0)),
        ("fits", 1, ("main.hawq", 20, 4)),
    ],
)
def test_definition_leads_to_the_declaration(
    editor: Editor, main: str, needle: str, inside: int, wanted: tuple[str, int, int]
) -> None:
    found = editor.at("definition", main, position(MAIN, needle, inside))

    assert _where(editor, main, found) == wanted


def test_definition_leads_into_a_shipped_catalogue(
    editor: Editor, project: Callable[..., str]
) -> None:
    text = MAIN.replace('"lib.hawq"', '"std/targets/nvidia_t4.hawq"')
    uri = editor.open(f"{project()}/main.hawq", text)

    found = editor.at("definition", uri, position(text, '"std/', 2))

    assert found["uri"].endswith("/std/targets/nvidia_t4.hawq")


def test_references_are_found_in_every_spec_of_the_workspace(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project(other='hawq 1\n\nimport "lib.hawq"\n\nparam more: size = 1 KiB\n', main=MAIN)
    uri = editor.open(f"{folder}/lib.hawq", LIBRARY)
    where = position(LIBRARY, "budget", 1)

    both = editor.at("references", uri, where, context={"includeDeclaration": True})
    uses = editor.at("references", uri, where, context={"includeDeclaration": False})

    assert [_where(editor, uri, one) for one in both] == [("lib.hawq", 2, 6), ("main.hawq", 20, 18)]
    assert [_where(editor, uri, one) for one in uses] == [("main.hawq", 20, 18)]


def test_renaming_changes_all_files_and_nothing_else(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project(main=MAIN)
    library, main = editor.uri(f"{folder}/lib.hawq"), editor.open(f"{folder}/main.hawq", MAIN)
    where = position(MAIN, "budget", 3)

    shown = editor.at("prepareRename", main, where)
    edits = editor.at("rename", main, where, newName="room")["changes"]

    assert shown["placeholder"] == "budget"
    assert set(edits) == {library, main}
    assert applied(LIBRARY, edits[library]) == LIBRARY.replace("budget", "room")
    assert applied(MAIN, edits[main]) == MAIN.replace("budget", "room")


def test_a_constraint_and_a_build_can_be_renamed(editor: Editor, main: str) -> None:
    constraint = editor.at("rename", main, position(MAIN, "fits", 1), newName="room")["changes"]
    build = editor.at("rename", main, position(MAIN, "small", 1), newName="tiny")["changes"]

    assert applied(MAIN, constraint[main]) == MAIN.replace("fits", "room")
    assert applied(MAIN, build[main]) == MAIN.replace("small", "tiny")


@pytest.mark.parametrize(
    ("needle", "inside", "name", "why"),
    [
        ("budget", 3, "net", "is a model already, in main.hawq:5"),
        ("budget", 3, "box", "is a target already, in lib.hawq:5"),
        ("budget", 3, "size", "is a metric"),
        ("budget", 3, "w4a8", "is a precision"),
        ("budget", 3, "first", "is a selector"),
        ("budget", 3, "a b", "is no name"),
        ("budget", 3, "", "is no name"),
        ("fits", 1, "fast", "called `fast` already"),
        ("precision =", 2, "other", "only params, models"),
    ],
)
def test_renaming_refuses_what_would_clash(
    editor: Editor, main: str, needle: str, inside: int, name: str, why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        editor.at("rename", main, position(MAIN, needle, inside), newName=name)


def test_renaming_refuses_while_a_use_may_be_hidden_by_a_syntax_error(
    editor: Editor, project: Callable[..., str]
) -> None:
    folder = project(main=MAIN.replace("size <= budget", "size <= <= budget"))
    uri = editor.open(f"{folder}/lib.hawq", LIBRARY)

    with pytest.raises(RefusedError, match="has syntax errors"):
        editor.at("rename", uri, position(LIBRARY, "budget", 1), newName="room")


def test_what_ships_with_the_compiler_cannot_be_renamed(
    editor: Editor, project: Callable[..., str]
) -> None:
    text = MAIN.replace('"lib.hawq"', '"std/targets/nvidia_t4.hawq"').replace(
        "box as", "nvidia_t4 as"
    )
    uri = editor.open(f"{project()}/main.hawq", text)

    with pytest.raises(RefusedError, match="ships with the compiler"):
        editor.at("prepareRename", uri, position(text, "nvidia_t4 as", 1))
