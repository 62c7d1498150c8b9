"""`hawqc schema`: what the program prints as JSON is as its schemas say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.resources import data_dir

SPECS = data_dir("specs")


def printed(*arguments: str) -> Any:
    done = CliRunner().invoke(make_app(), arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def schema() -> Any:
    return printed("schema")


@pytest.mark.parametrize(
    "spec", ["examples/digits.hawq", "examples/hawq_v3/resnet18.hawq", "std/targets/nvidia_t4.hawq"]
)
def test_a_resolved_spec_is_as_its_schema_says(spec: str, schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    resolved = printed("show", str(SPECS / spec), "--format", "json")

    jsonschema.Draft202012Validator(schema).validate(resolved)


def test_what_is_not_a_spec_is_refused(schema: Any) -> None:
    resolved = printed("show", str(SPECS / "examples/digits.hawq"), "--format", "json")

    for damage in ({"version": "one"}, {"builds": [{}]}, {"surplus": 1}):
        assert list(jsonschema.Draft202012Validator(schema).iter_errors({**resolved, **damage}))


def test_there_is_a_schema_of_findings() -> None:
    assert printed("schema", "check")["properties"]["format_version"] == {"const": 1}


def test_hooks_and_action_call_commands_that_exist() -> None:
    root = Path(__file__).parents[3]
    hooks = (root / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    action = (root / "action.yml").read_text(encoding="utf-8")
    entries = [line.split(":")[1].split() for line in hooks.splitlines() if "entry:" in line]
    called = [line.split() for line in action.splitlines() if line.strip().startswith("hawqc ")]

    assert entries == [["hawqc", "check"], ["hawqc", "check", "--fix"], ["hawqc", "fmt"]]
    assert {words[1] for words in called} == {"check", "fmt"}
