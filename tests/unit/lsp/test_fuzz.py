"""A bounded run of the server's fuzzing; the long one is run by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="the language server needs the extra `lsp`")

INPUTS = 25


def test_edits_by_chance_are_answered_and_read_like_whole_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fuzz.fuzz_server import Target, plain

    monkeypatch.chdir(tmp_path)  # where an input that shows a defect is left
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    (tmp_path / "project").mkdir()

    assert plain(Target(tmp_path / "project"), float("inf"), INPUTS) == INPUTS
