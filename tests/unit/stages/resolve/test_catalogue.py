"""Entries of the catalogue show what they say: the example has the code, the mended one nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hawqlang.diagnostics.codes_2xx import ENTRIES
from hawqlang.diagnostics.entry import Entry
from hawqlang.stages.resolve import resolve_file
from tests.projects import Project

ON_THE_COMMAND_LINE = ("HQ219", "HQ220", "HQ226")
OVER_SEVERAL_FILES = ("HQ224", "HQ225")


def codes(folder: Path, text: str) -> list[str]:
    path = folder / "spec.hawq"
    path.write_text(text, encoding="utf-8")
    return [d.code for d in resolve_file(path)[1]]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.code)
def test_example_raises_its_code_and_mended_does_not(project: Project, entry: Entry) -> None:
    if entry.code in ON_THE_COMMAND_LINE:
        assert entry.example.startswith("hawqc check ")
        return
    if entry.code in OVER_SEVERAL_FILES:
        assert "# in " in entry.example
        return
    assert codes(project.folder, entry.example) == [entry.code]
    assert codes(project.folder, entry.mended) == []


def test_every_code_that_is_raised_has_an_entry_and_no_other(repository: Path) -> None:
    sources = (repository / "hawqlang" / "stages" / "resolve").glob("*.py")
    raised = {code for path in sources for code in re.findall(r'"(HQ2\d\d)"', path.read_text())}
    assert raised == {entry.code for entry in ENTRIES}


def test_codes_are_in_order_and_unique() -> None:
    codes = [entry.code for entry in ENTRIES]
    assert codes == sorted(set(codes))
