"""`hawqc check`: many specs, remembered findings, fixes, every format."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from hawqlang.cli import checking
from hawqlang.cli.app import make_app
from hawqlang.cli.checking import Request, check_all, check_one
from hawqlang.diagnostics.schema import check_schema

SCHEMAS = Path(__file__).parents[2] / "schemas"
LAYERS = {
    "format_version": 1,
    "layers": [
        {
            "name": name,
            "kind": "conv",
            "params": 1000,
            "macs": 1000,
            "sensitivity": {"w4a4": 1.0, "w8a8": 0.1},
        }
        for name in ("a", "b")
    ],
}
SPEC = """hawq 1

model net { source = layers("net.json") }
target box { device = cpu.x86_64 }

quantize net on box {
  precision = [w4a4, w8a8]
  subject to {
    fits: size <= 1500 B
  }
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a spec, whose files have long been as they are; and a cache of its own."""
    project = tmp_path / "project"
    project.mkdir()
    (project / ".git").mkdir()
    (project / "net.json").write_text(json.dumps(LAYERS))
    (project / "a.hawq").write_text(SPEC)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hawqlang.cli.remembered._FRESH", 0)
    time.sleep(0.02)
    return project


def check(*arguments: str) -> Any:
    return CliRunner().invoke(make_app(("check",)), ["check", *arguments])


def codes(done: Any) -> list[str]:
    return [d["code"] for d in json.loads(done.stdout)["diagnostics"]]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The specs that are really checked from now on."""
    really: list[str] = []

    def spied(request: Request) -> checking.Outcome:
        really.append(request.path)
        return check_one(request)

    monkeypatch.setattr(checking, "check_one", spied)
    return really


# ---- files, formats ------------------------------------------------------------------------------


def test_files_and_folders_are_checked_each_once(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.hawq").write_text("hawq 1\nmodle net { }\n")

    done = check("a.hawq", ".", "sub/b.hawq")

    assert done.exit_code == 1
    assert done.stdout.count("error[") == 2
    assert done.stderr == "2 files checked: 2 errors\n"


def test_a_build_that_is_not_there_and_a_file_that_is_not_are_misuse() -> None:
    for argument, code in (("a.hawq:nothing", "HQ825"), ("b.hawq", "HQ823")):
        done = check(argument)
        assert done.exit_code == 2
        assert code in done.stderr


WRONG = 'hawq 1\nimport "std/targets/nvidia_t4.hawq"\nparam é: size = 1 MiB; param b: sise\n'


def test_json_is_as_its_schema_says(folder: Path) -> None:
    (folder / "wrong.hawq").write_text(WRONG)
    schema = check_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    for arguments in (["a.hawq"], ["wrong.hawq"], ["--fix", "wrong.hawq"]):
        done = check("--format", "json", *arguments)
        jsonschema.validate(json.loads(done.stdout), schema)


def test_sarif_is_as_its_standard_says(folder: Path) -> None:
    (folder / "wrong one.hawq").write_text(WRONG)
    (folder / "tight.hawq").write_text(SPEC.replace("1500", "15"))
    schema = json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))

    done = check("--format", "sarif", "a.hawq", "wrong one.hawq", "tight.hawq")

    log = json.loads(done.stdout)
    jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).validate(log)
    results = log["runs"][0]["results"]
    assert {result["ruleId"] for result in results} >= {"HQ103", "HQ501"}
    assert any("fixes" in result for result in results)


def test_github_annotations_name_file_line_and_column(folder: Path) -> None:
    (folder / "wrong.hawq").write_text("hawq 1\nparam a: size = 1 MiB ; \n")

    done = check("--format", "github", "wrong.hawq")

    assert done.stdout.startswith(
        "::error file=wrong.hawq,line=2,endLine=2,col=23,endColumn=23,title=HQ103::"
    )


# ---- what is remembered --------------------------------------------------------------------------


def test_a_spec_is_checked_again_only_when_something_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request("a.hawq", None)
    first = check_all([request])
    really = counted(monkeypatch)

    assert check_all([request]) == first
    assert really == []

    (folder / "a.hawq").write_text(SPEC.replace("1500", "15"))
    assert [d.code for d in check_all([request])[0].diagnostics] == ["HQ501"]
    assert really == ["a.hawq"]


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "net.json").write_text(json.dumps(LAYERS).replace("1000", "2000")),
        lambda f: (f / "net.json").unlink(),
        lambda f: (f / "parts.hawq").write_text("hawq 1\nparam limit: size = 1 B\n"),
        lambda f: (f / ".git").rmdir(),
        lambda f: (f / "link.hawq").unlink() or (f / "link.hawq").symlink_to("other.hawq"),
        lambda f: os.utime(f / "a.hawq", (1, 1)),
    ],
    ids=["model", "no model", "import", "root", "link", "touched"],
)
def test_a_change_of_anything_it_depends_on_is_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    (folder / "parts.hawq").write_text("hawq 1\nparam limit: size = 1500 B\n")
    (folder / "other.hawq").write_text("hawq 1\nparam limit: size = 2 B\n")
    (folder / "link.hawq").symlink_to("parts.hawq")
    text = SPEC.replace("hawq 1\n", 'hawq 1\nimport "link.hawq"\n').replace("1500 B", "limit")
    (folder / "a.hawq").write_text(text)
    time.sleep(0.02)
    request = Request("a.hawq", None)
    check_all([request])
    really = counted(monkeypatch)
    check_all([request])
    assert really == []

    change(folder)
    check_all([request])

    assert really == ["a.hawq"]


def test_what_is_asked_for_is_part_of_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.hawq").write_text(SPEC.replace("hawq 1\n", "hawq 1\nparam limit: size = 1 KiB\n"))
    time.sleep(0.02)
    check_all([Request("a.hawq", None)])
    really = counted(monkeypatch)

    check_all([Request("a.hawq", None, overrides=(("limit", "2 KiB"),))])
    check_all([Request("a.hawq", "net")])
    check_all([Request("a.hawq", None, trust=True)])

    assert len(really) == 3


def test_specs_with_errors_and_just_written_ones_are_checked_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "wrong.hawq").write_text("hawq 1\nmodle\n")
    check_all([Request("wrong.hawq", None)])
    monkeypatch.setattr("hawqlang.cli.remembered._FRESH", 10**15)
    check_all([Request("a.hawq", None)])
    really = counted(monkeypatch)

    check_all([Request("wrong.hawq", None), Request("a.hawq", None)])

    assert really == ["wrong.hawq", "a.hawq"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"states": [], "diagnostics": [1]}'])
def test_a_damaged_memory_only_costs_time(folder: Path, damage: bytes) -> None:
    first = check_all([Request("a.hawq", None)])
    (kept,) = (folder.parent / "cache" / "checks").rglob("*.json")
    kept.write_bytes(damage)

    assert check_all([Request("a.hawq", None)]) == first


def test_several_processes_find_what_one_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(16):
        (folder / f"s{number}.hawq").write_text(SPEC.replace("1500", str(10 * number * number)))
    requests = [Request(f"s{number}.hawq", None) for number in range(16)]
    requests.append(Request("s1.hawq", "nothing"))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(checking.remembered, "recall", lambda _: None)

    assert check_all(requests) == [check_one(one) for one in requests]
    assert check_all(requests)[-1].misuse


# ---- --fix ---------------------------------------------------------------------------------------


def test_fix_mends_what_is_sure_and_says_what_it_did(folder: Path) -> None:
    (folder / "wrong.hawq").write_text("hawq 1\nparam a: size = .5 MiB; param b: int = 1__0\n")

    done = check("--fix", "wrong.hawq")

    assert done.exit_code == 0
    assert (folder / "wrong.hawq").read_text() == (
        "hawq 1\nparam a: size = 0.5 MiB\n param b: int = 1_0\n"
    )
    assert "fixed wrong.hawq:2:17: HQ106 `.5` is no number\n" in done.stderr
    assert done.stderr.endswith("1 file checked: no findings\n")


def test_guesses_are_applied_only_on_demand(folder: Path) -> None:
    wrong = SPEC.replace("fits: size", "fits: sizee").replace("precision", "precisoin")
    (folder / "wrong.hawq").write_text(wrong)

    assert check("--fix", "wrong.hawq").exit_code == 1
    assert (folder / "wrong.hawq").read_text() == wrong
    assert check("--fix", "--guess", "wrong.hawq").exit_code == 0
    assert (folder / "wrong.hawq").read_text() == SPEC


def test_a_fix_that_brings_another_to_light_is_followed(folder: Path) -> None:
    (folder / "wrong.hawq").write_text(SPEC.replace("[w4a4, w8a8]", "[w4a4 w8a8 w4a8]"))

    done = check("--fix", "--format", "json", "wrong.hawq")

    assert "[w4a4, w8a8, w4a8]" in (folder / "wrong.hawq").read_text()
    assert [d["code"] for d in json.loads(done.stdout)["fixed"]] == ["HQ136", "HQ136"]


def test_only_the_files_given_are_written(folder: Path) -> None:
    parts = "hawq 1\nparam limit: size = .5 MiB\n"
    (folder / "parts.hawq").write_text(parts)
    (folder / "a.hawq").write_text(
        SPEC.replace("hawq 1\n", 'hawq 1\nimport "parts.hawq"\n').replace("1500 B", "limit")
    )

    assert check("--fix", "a.hawq").exit_code == 1
    assert (folder / "parts.hawq").read_text() == parts
    assert check("--fix", "a.hawq", "parts.hawq").exit_code == 0


def test_an_unused_import_goes_with_its_line_and_a_byte_order_mark_stays(folder: Path) -> None:
    text = SPEC.replace("hawq 1\n", 'hawq 1\r\nimport "std/targets/nvidia_t4.hawq"  # card\r\n')
    (folder / "a.hawq").write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert check("--fix", "a.hawq").exit_code == 0
    assert (folder / "a.hawq").read_bytes() == b"\xef\xbb\xbf" + SPEC.replace(
        "hawq 1\n", "hawq 1\r\n"
    ).encode()


def test_a_file_that_may_not_be_written_is_left_with_a_reason(folder: Path) -> None:
    (folder / "wrong.hawq").write_text("hawq 1\nparam a: size = .5 MiB\n")
    (folder / "wrong.hawq").chmod(0o444)
    if os.access(folder / "wrong.hawq", os.W_OK):
        pytest.skip("this user may write everything")

    done = check("--fix", "wrong.hawq")

    assert done.exit_code == 2
    assert "HQ822" in done.stderr


def test_what_can_be_mended_is_announced(folder: Path) -> None:
    (folder / "wrong.hawq").write_text("hawq 1\nparam a: size = .5 MiB\n")

    assert check("wrong.hawq").stderr == "1 file checked: 1 error; `--fix` mends 1 of them\n"


# ---- --root --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../secret.json", "/etc/passwd", "out/net.json", "loop/x"])
def test_nothing_leads_out_of_the_root(folder: Path, path: str) -> None:
    (folder.parent / "secret.json").touch()
    (folder / "out").symlink_to(folder.parent)
    (folder / "loop").symlink_to("loop")
    (folder / "a.hawq").write_text(SPEC.replace("net.json", path))

    done = check("--root", ".", "--format", "json", "a.hawq")

    assert (done.exit_code, codes(done)) == (1, ["HQ226"])


def test_what_lies_in_the_root_is_found(folder: Path) -> None:
    assert check("--root", "..", "a.hawq").exit_code == 0
    (folder / "sub").mkdir()
    done = check("--root", "sub", "a.hawq")
    assert done.exit_code == 2
    assert "HQ220" in done.stderr
