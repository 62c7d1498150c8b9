"""The TextMate grammar of the VS Code extension knows exactly the words that the compiler does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hawqlang.ir.units import UNITS
from hawqlang.resources import data_dir
from hawqlang.stages.parse.braces import ITEM_WORDS, STATEMENT_WORDS
from hawqlang.stages.resolve.params import TYPES
from hawqlang.stages.resolve.scope import (
    METRICS,
    OPERATOR_WORDS,
    PROPERTIES,
    SELECTOR_FORMS,
    SELECTOR_WORDS,
)

ROOT = data_dir("specs").parent
EXTENSION = ROOT / "editors" / "vscode"
LOGIC = ("and", "or", "not", "implies", "of")
HEADS = ("to", "on", "with", "as", "within", "across")


def _rules() -> dict[str, dict[str, Any]]:
    path = EXTENSION / "syntaxes" / "hawq.tmLanguage.json"
    return json.loads(path.read_text(encoding="utf-8"))["repository"]


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        ("keyword", ("hawq", *ITEM_WORDS)),
        ("clause", (*(STATEMENT_WORDS - ITEM_WORDS), *HEADS, *(set(OPERATOR_WORDS) - set(LOGIC)))),
        ("logic", LOGIC),
        ("boolean", ("true", "false")),
        ("metric", METRICS),
        ("property", PROPERTIES),
        ("selector", (*SELECTOR_WORDS, *SELECTOR_FORMS, "count")),
    ],
)
def test_a_rule_has_the_words_of_the_compiler(rule: str, known: Iterable[str]) -> None:
    match = re.fullmatch(r"\\b\(\?:([a-z_0-9|]+)\)\\b", _rules()[rule]["match"])

    assert match is not None
    assert sorted(match[1].split("|")) == sorted(known)


def test_the_units_are_those_of_the_compiler_longest_first() -> None:
    pattern: str = _rules()["quantity"]["patterns"][0]["match"]
    match = re.search(r"\(\(\?:([A-Za-z/|]+)\)\(\?!", pattern)
    assert match is not None
    units = match[1].split("|")

    assert sorted([*units, "%"]) == sorted(UNITS)
    assert units == sorted(units, key=lambda unit: -len(unit))


def test_the_types_of_params_are_those_of_the_compiler() -> None:
    match = re.search(r"\(([a-z|]+)\)\\b$", _rules()["param"]["match"])

    assert match is not None
    assert set(match[1].split("|")) == set(TYPES)


def test_every_included_rule_exists_and_every_rule_is_included() -> None:
    path = EXTENSION / "syntaxes" / "hawq.tmLanguage.json"
    grammar = json.loads(path.read_text(encoding="utf-8"))
    included = {pattern["include"].removeprefix("#") for pattern in grammar["patterns"]}

    assert included == set(grammar["repository"])


def test_no_committed_file_names_a_registry() -> None:
    lock = json.loads((EXTENSION / "package-lock.json").read_text(encoding="utf-8"))

    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


def test_the_grammar_colours_specs_as_recorded() -> None:
    node = shutil.which("node")
    if node is None or not (EXTENSION / "node_modules").is_dir():
        pytest.skip("needs Node.js and `make editor`")
    done = subprocess.run(
        [node, "test/grammar.mjs"], cwd=EXTENSION, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_what_is_coloured_is_the_spec_of_the_tests() -> None:
    shown = (EXTENSION / "test" / "whole.hawq").read_text(encoding="utf-8")
    whole = ROOT / "tests" / "spec_cases" / "whole.hawq"

    assert shown == Path(whole).read_text(encoding="utf-8")
