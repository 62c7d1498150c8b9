"""Spec cases: a spec, then a line ``# EXPECT:`` and the whole text that checking it prints.

``--update-golden`` rewrites what is expected; the change is to be read in review.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hawqlang.diagnostics.catalogue import entries
from hawqlang.diagnostics.formats import render
from hawqlang.diagnostics.ignore import apply_ignores
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.stages.parse import parse_file

FOLDER = Path(__file__).resolve().parent / "spec_cases"
CASES = sorted((FOLDER / "errors").glob("*.hawq"))
EXPECT = b"\n# EXPECT:\n"

CHECKED = frozenset("12")
"""Groups of codes that checking a spec finds without its model and data; each has cases here."""

NO_CASE: Mapping[str, str] = {
    "HQ100": "a file that cannot be opened is no spec; tests/unit/stages/parse/test_files.py",
    "HQ102": "a case of one megabyte would hide the others; tests/unit/stages/parse/test_files.py",
    "HQ219": "an override stands on the command line; tests/unit/stages/resolve/test_params.py",
    "HQ220": "a file that cannot be read is no spec; tests/unit/stages/resolve/test_imports.py",
    "HQ225": "it takes 65 files; tests/unit/stages/resolve/test_imports.py",
    "HQ226": "`--root` stands on the command line; tests/unit/cli/test_check.py",
}
"""Codes of these groups without a spec case, and where they are tested."""

Checked = tuple[Sequence[Diagnostic], Mapping[str, str]]


def check(path: Path) -> Checked:
    """What checking a spec finds, and the texts it may quote; as far as the checks are there."""
    if find_spec("hawqlang.stages.resolve") is None:
        tree, diagnostics = parse_file(path)
        return apply_ignores(diagnostics, tree.ignores, judge="1"), {tree.file: tree.text}
    resolve: Any = import_module("hawqlang.stages.resolve")
    try:
        found = resolve.resolve(path)
    except HawqError as error:
        return error.diagnostics, {}
    return found.diagnostics, found.sources


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the cases, with the files they refer to, without what is expected."""
    copy = tmp_path_factory.mktemp("cases") / "errors"
    shutil.copytree(FOLDER / "errors", copy)
    for path in copy.glob("*.hawq"):
        given, _, _ = path.read_bytes().partition(EXPECT)
        path.write_bytes(given + b"\n")
    return copy


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_wrong_spec_prints_what_is_expected(
    case: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(inputs)
    diagnostics, sources = check(Path(case.name))
    text = render(diagnostics, sources)

    given, _, expected = case.read_bytes().partition(EXPECT)
    if request.config.getoption("--update-golden"):
        case.write_bytes(given + EXPECT + text.encode())
    else:
        assert text == expected.decode()
    assert case.name[:5] in {diagnostic.code for diagnostic in diagnostics}


def test_every_code_that_a_check_finds_has_a_case() -> None:
    codes = {entry.code for entry in entries() if entry.code[2] in CHECKED}
    cased = {case.name[:5] for case in CASES}

    assert codes - cased - NO_CASE.keys() == set()
    assert {code for code in cased if code[2] in CHECKED} - codes == set()
