"""Files of a revision, read through git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hawqlang.diagnostics import ToolError
from hawqlang.stages.diff.revision import at_revision


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository_(tmp_path: Path) -> Path:
    """Two commits: in the second the spec has changed and an import is gone."""
    folder = tmp_path / "repository"
    (folder / "sub dir").mkdir(parents=True)
    git(folder.parent, "init", "-q", str(folder))
    (folder / "sub dir" / "a.hawq").write_bytes(b"one\n\0\n")
    (folder / "b.hawq").write_text("import", "utf-8")
    (folder / "big.bin").write_text("not wanted", "utf-8")
    (folder / "link.hawq").symlink_to("/etc/passwd")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "first")
    (folder / "sub dir" / "a.hawq").write_text("two", "utf-8")
    git(folder, "rm", "-q", "b.hawq")
    git(folder, "commit", "-qam", "two")
    return folder


def test_specs_lie_as_in_the_repository_and_nothing_else(repository_: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    before = git(repository_, "status", "--porcelain")
    found = at_revision(repository_ / "sub dir" / "a.hawq", "first", into)
    assert found == into / "sub dir" / "a.hawq"
    assert found.read_bytes() == b"one\n\0\n"
    files = sorted(p.relative_to(into).as_posix() for p in into.rglob("*") if p.is_file())
    assert files == ["b.hawq", "sub dir/a.hawq"]
    assert git(repository_, "status", "--porcelain") == before
    assert (repository_ / "sub dir" / "a.hawq").read_text("utf-8") == "two"


def test_a_file_that_is_gone_today_can_be_read(repository_: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    assert at_revision(repository_ / "b.hawq", "HEAD~1", into).read_text("utf-8") == "import"


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        ("b.hawq", "HEAD", "'b.hawq' is not in revision 'HEAD'"),
        ("b.hawq", "nothing", "there is no revision 'nothing'"),
        ("b.hawq", "--output=x", "there is no revision '--output=x'"),
        ("b.hawq", "first:b.hawq", "there is no revision"),
        ("link.hawq", "first", "is not in revision"),
    ],
)
def test_what_is_not_there_is_said(
    repository_: Path, tmp_path: Path, name: str, revision: str, said: str
) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ToolError, match="HQ870") as caught:
        at_revision(repository_ / name, revision, into)
    assert said in caught.value.diagnostics[0].message
    assert list(into.iterdir()) == []


def test_a_folder_without_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is in no repository"):
        at_revision(tmp_path / "a.hawq", "HEAD", tmp_path)


def test_missing_git_is_said(
    repository_: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="needs git"):
        at_revision(repository_ / "b.hawq", "HEAD", tmp_path)
