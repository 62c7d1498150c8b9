"""The catalogue: every code once, and every entry of a parse error shows what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hawqlang.diagnostics import catalogue
from hawqlang.diagnostics.catalogue import GROUPS, entries, entry
from hawqlang.diagnostics.codes_1xx import ENTRIES
from hawqlang.diagnostics.entry import Entry
from hawqlang.diagnostics.ignore import apply_ignores
from hawqlang.resources import data_dir
from hawqlang.stages.parse import parse_text

ROOT = data_dir("grammar").parent

NOT_IN_A_TEXT = frozenset({"HQ100", "HQ101", "HQ102"})
"""Errors that no text shows: those of files and bytes."""

SHOWN = [e for e in ENTRIES if e.code not in NOT_IN_A_TEXT]


def test_codes_are_unique_ordered_and_of_their_group() -> None:
    codes = [e.code for e in entries()]

    assert codes == sorted(set(codes))
    for digit in GROUPS:
        assert all(re.fullmatch(f"HQ{digit}[0-9]{{2}}", code) for code in catalogue.group(digit))


def test_an_entry_is_found_by_its_code() -> None:
    found = entry("HQ121")

    assert found is not None
    assert found.title == "`{` never closed"
    for unknown in ("HQ199", "HQ000", "hq121", "", "121", "HQ"):
        assert entry(unknown) is None


def test_a_group_is_loaded_when_it_is_asked_for() -> None:
    script = (
        "import sys\n"
        "from hawqlang.diagnostics.catalogue import entry\n"
        "assert entry('HQ104')\n"
        "print([m for m in sys.modules if '.codes_' in m])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert done.stdout == "['hawqlang.diagnostics.codes_1xx']\n"


def codes(text: str) -> set[str]:
    tree, diagnostics = parse_text(text, "a.hawq")
    return {d.code for d in apply_ignores(diagnostics, tree.ignores, judge="1")}


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.code)
def test_the_example_of_an_entry_shows_it_and_is_mended(shown: Entry) -> None:
    assert codes(shown.example) == {shown.code}
    assert codes(shown.mended) == set()


def test_every_code_the_parser_reports_is_in_the_catalogue() -> None:
    sources = [*Path(ROOT / "hawqlang/stages/parse").glob("*.py")]
    sources += [*Path(ROOT / "grammar/errors").iterdir()]
    used = {
        code
        for path in sources
        for code in re.findall(r"HQ1\d\d", f"{path.name} {path.read_text(encoding='utf-8')}")
    }

    assert used - {e.code for e in ENTRIES} == set()
    assert {e.code for e in ENTRIES} - used == {"HQ191"}  # that one comes after parsing
