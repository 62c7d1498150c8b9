"""`hawqc fmt`: files, folders, standard input."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.ir.spec import Spec
from hawqlang.resources import data_dir
from hawqlang.stages.format import format_text
from hawqlang.stages.parse import lexemes
from hawqlang.stages.resolve import resolve_file
from tests.projects import content

UGLY = "hawq 1\ntarget  a { device=cpu.native }  # fast\n"
PRETTY = "hawq 1\n\ntarget a { device = cpu.native }  # fast\n"
WRONG = "hawq 1\ntarget a {\n"
ROOT = data_dir("specs").parent
SHIPPED = [*(ROOT / "specs").rglob("*.hawq"), *(ROOT / "docs" / "examples").rglob("*.hawq")]


def fmt(*arguments: str) -> Any:
    return CliRunner().invoke(make_app(("fmt",)), ["fmt", *arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"a.hawq": UGLY, "sub/b.hawq": PRETTY, ".git/c.hawq": UGLY}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_and_folders_are_formatted_in_place(folder: Path) -> None:
    done = fmt(".")

    assert (done.exit_code, done.stdout) == (0, "formatted a.hawq\n")
    assert done.stderr == "2 files: 1 formatted, 1 as they should be\n"
    assert (folder / "a.hawq").read_text() == PRETTY
    assert (folder / ".git" / "c.hawq").read_text() == UGLY
    assert fmt("a.hawq", "sub").stdout == ""


def test_check_writes_nothing_and_says_what_it_would(folder: Path) -> None:
    done = fmt("--check", "a.hawq", "sub/b.hawq")

    assert (done.exit_code, done.stdout) == (1, "would format a.hawq\n")
    assert (folder / "a.hawq").read_text() == UGLY
    assert fmt("--check", "sub").exit_code == 0


def test_diff_shows_what_would_change(folder: Path) -> None:
    done = fmt("--diff", ".")

    assert done.exit_code == 1
    assert done.stdout == (
        "--- a.hawq\n+++ a.hawq\n@@ -1,2 +1,3 @@\n hawq 1\n"
        "-target  a { device=cpu.native }  # fast\n+\n+target a { device = cpu.native }  # fast\n"
    )
    assert (folder / "a.hawq").read_text() == UGLY


def test_standard_input_goes_to_standard_output() -> None:
    runner = CliRunner()
    done = runner.invoke(make_app(("fmt",)), ["fmt", "-"], input=UGLY)
    assert (done.exit_code, done.stdout, done.stderr) == (0, PRETTY, "")

    done = runner.invoke(make_app(("fmt",)), ["fmt", "--check", "-"], input=UGLY)
    assert (done.exit_code, done.stdout) == (1, "")

    done = runner.invoke(make_app(("fmt",)), ["fmt", "--stdin-name", "x.hawq", "-"], input=WRONG)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "--> x.hawq:2:10" in done.stderr
    assert "2 | target a {" in done.stderr


def test_a_file_with_errors_is_left_alone_and_the_others_are_formatted(folder: Path) -> None:
    (folder / "wrong.hawq").write_text(WRONG)
    (folder / "latin.hawq").write_bytes(b"hawq 1\n# \xe9\n")

    done = fmt("wrong.hawq", "latin.hawq", "a.hawq")

    assert (done.exit_code, done.stdout) == (1, "formatted a.hawq\n")
    assert "error[HQ121]" in done.stderr
    assert "error[HQ101]" in done.stderr
    assert (folder / "wrong.hawq").read_text() == WRONG


@pytest.mark.parametrize("missing", ["nowhere.hawq", "/dev/null", "a\x00.hawq"])
def test_what_is_no_file_is_misuse(folder: Path, missing: str) -> None:
    done = fmt("a.hawq", missing)

    assert done.exit_code == 2
    assert "error[HQ823]" in done.stderr
    assert (folder / "a.hawq").read_text() == UGLY


def test_a_folder_without_specs_is_misuse(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert fmt("empty").exit_code == 2
    assert "error[HQ880]" in fmt("empty").stderr


def test_standard_input_beside_a_file_is_misuse(folder: Path) -> None:
    del folder
    done = fmt("a.hawq", "-")

    assert done.exit_code == 2
    assert "error[HQ881]" in done.stderr


def test_permissions_and_links_survive(folder: Path) -> None:
    (folder / "a.hawq").chmod(0o640)
    (folder / "link.hawq").symlink_to("a.hawq")

    fmt("link.hawq")

    assert (folder / "link.hawq").is_symlink()
    assert (folder / "a.hawq").read_text() == PRETTY
    assert stat.S_IMODE((folder / "a.hawq").stat().st_mode) == 0o640


def test_a_linked_folder_is_not_entered(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder)

    assert fmt("--check", "sub").stderr == "1 file: 1 as they should be\n"


def test_a_file_is_replaced_whole_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)

    done = fmt("a.hawq")

    assert done.exit_code == 2
    assert "error[HQ821]" in done.stderr
    assert (folder / "a.hawq").read_text() == UGLY
    assert not list(folder.glob("*.part")) + list(folder.glob(".*.part"))


def said(spec: Spec) -> object:
    """What a spec says; constraints also keep their text as it was written."""
    builds = tuple(
        build.replace(constraints=tuple(c.replace(text="") for c in build.constraints))
        for build in spec.builds
    )
    return content(spec.replace(builds=builds))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_spec_is_in_its_layout_and_means_the_same_without(
    path: Path, tmp_path: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_text(text, path.name).text == text

    tokens, _ = lexemes(text)
    squeezed = " ".join(token.text for token in tokens)
    copy = tmp_path / path.name
    copy.write_text(squeezed, encoding="utf-8")
    for imported in path.parent.glob("*.hawq"):
        if imported != path:
            (tmp_path / imported.name).write_bytes(imported.read_bytes())
    before, _ = resolve_file(copy, overrides={})
    copy.write_text(text, encoding="utf-8")
    after, _ = resolve_file(copy, overrides={})
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert said(after) == said(before)
