"""Locks, saved plans and diff on the example that ships with the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.lock import Lock
from hawqlang.stages import bundle
from hawqlang.stages.lock.text import parse, render

Hawqc = Callable[..., Any]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def hawqc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hawqc]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAWQ_CACHE", str(tmp_path_factory.mktemp("cache")))

        def run(*arguments: object) -> Any:
            return CliRunner().invoke(make_app(), [str(a) for a in arguments])

        yield run


@pytest.fixture(scope="module")
def built(repository: Path, hawqc: Hawqc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example, its lock, its artifact in `build/digits`, and `plan.json`."""
    folder = tmp_path_factory.mktemp("built")
    examples = repository / "specs" / "examples"
    shutil.copytree(examples / "digits", folder / "digits")
    shutil.copy(examples / "digits.hawq", folder)
    done = hawqc("build", folder / "digits.hawq", "--out", folder / "build")
    assert done.exit_code == 0, done.stderr
    assert "lock written" in done.stderr
    done = hawqc("plan", folder / "digits.hawq", "-o", folder / "plan.json")
    assert done.exit_code == 0, done.stderr
    assert "no change since the lock" in done.stdout
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    folder = tmp_path / "project"
    shutil.copytree(built, folder)
    return folder


@pytest.fixture
def spec(project: Path) -> Path:
    return project / "digits.hawq"


def lock_of(spec: Path) -> Path:
    return Path(f"{spec}.lock")


def entry(spec: Path, name: str = "digits") -> dict[str, Any]:
    return json.loads(lock_of(spec).read_text("utf-8"))["builds"][name]


def edit(path: Path, change: Edit, name: str = "digits") -> None:
    """Edit an entry of a lock or a saved plan by hand."""
    data = json.loads(path.read_text("utf-8"))
    change(data["builds"][name])
    path.write_text(json.dumps(data), "utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def leave_out_code(patch: pytest.MonkeyPatch) -> None:
    """Let builds end without a library, as if it had been found accurate: the program is known before."""

    def no_kernels(*_: object) -> Iterator[object]:
        return iter(())

    def accurate(*_: object) -> Evaluation:
        return Evaluation(n=600, accuracy=0.99, fp32_accuracy=0.99, agreement=1.0)

    def proven(_: object) -> bool:
        return True

    patch.setattr("hawqlang.stages.realise._generate", no_kernels)
    patch.setattr("hawqlang.stages.realise._known_evaluation", accurate)
    patch.setattr("hawqlang.stages.realise._evaluate", accurate)
    patch.setattr("hawqlang.stages.realise.holds", proven)


@pytest.fixture
def no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_code(monkeypatch)


def precisions(plan: dict[str, Any]) -> dict[str, str]:
    return {layer["name"]: layer["precision"] for layer in plan["layers"]}


# ---- the lock ------------------------------------------------------------------------------------


def test_lock_says_what_went_in_and_what_came_out(built: Path) -> None:
    found = entry(built / "digits.hawq")
    allocation = json.loads((built / "build/digits/allocation.json").read_text("utf-8"))
    assert precisions(found) == precisions(allocation)
    assert found["metrics"] == allocation["metrics"]
    assert found["evaluation"]["n"] == 600
    assert [re.sub(r"\W.*", "", name) for name in found["origin"]["inputs"]] == [
        "calibration",
        "evaluation",
        "model",
        "spec",
    ]


def test_lock_holds_no_absolute_path_and_one_layer_a_line(built: Path) -> None:
    text = lock_of(built / "digits.hawq").read_text("utf-8")
    assert str(built) not in text
    assert str(Path.home()) not in text
    assert all(text.count(f'\n    {{"name": "{name}"') == 1 for name in ("conv1", "fc", "fits"))


def test_lock_reads_back_as_it_was_written(built: Path) -> None:
    path = lock_of(built / "digits.hawq")
    assert render(parse(path, Lock, "lock")) == path.read_text("utf-8")


def test_saved_plan_builds_the_same_bytes_and_leaves_the_lock_alone(
    project: Path, spec: Path, hawqc: Hawqc
) -> None:
    before = lock_of(spec).read_bytes()
    done = hawqc("build", project / "plan.json", "--out", project / "again")
    assert done.exit_code == 0, done.stderr
    ours = bundle.file_entries(project / "build" / "digits")
    assert bundle.file_entries(project / "again" / "digits") == ours
    assert lock_of(spec).read_bytes() == before


@pytest.mark.usefixtures("no_code")
def test_locked_build_of_an_unchanged_spec_succeeds_on_a_new_machine(
    spec: Path, hawqc: Hawqc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hawqc("build", spec, "--out", tmp_path / "one").exit_code == 0
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "empty"))
    done = hawqc("build", spec, "--out", tmp_path / "two", "--locked")
    assert done.exit_code == 0, done.stderr
    assert "calibrate" in done.stderr
    assert "measure sensitivities" not in done.stderr
    ours, theirs = (bundle.file_entries(tmp_path / n / "digits") for n in ("one", "two"))
    assert ours == theirs


def test_recorded_sensitivities_decide(spec: Path, hawqc: Hawqc) -> None:
    """A layer that the lock says suffers at 4 bits gets 8 in place of the others."""

    def hurt(found: dict[str, Any]) -> None:
        row = next(layer for layer in found["layers"] if layer["name"] == "layer1.0.conv2")
        row["sensitivity"] |= {"w4a4": 100.0, "w4a8": 100.0}

    edit(lock_of(spec), hurt)
    plan = json.loads(hawqc("plan", spec, "--format", "json").stdout)
    assert precisions(entry(spec))["layer1.0.conv2"] == "w4a4"
    assert precisions(plan)["layer1.0.conv2"] == "w8a8"
    assert any(row["layer"] == "layer1.0.conv2" for row in plan["lock"]["changed"])


def test_sensitivities_are_measured_again_when_what_they_rest_on_changes(
    spec: Path, hawqc: Hawqc
) -> None:
    def forge(found: dict[str, Any]) -> None:
        for layer in found["layers"]:
            layer["sensitivity"] = dict.fromkeys(layer["sensitivity"], 100.0)

    edit(lock_of(spec), forge)
    replace(spec, "minimize", "seed = 1\n  minimize")
    plan = json.loads(hawqc("plan", spec, "--format", "json").stdout)
    assert plan["metrics"]["perturbation"] < 1


def test_plan_shows_what_a_constraint_would_change(spec: Path, hawqc: Hawqc) -> None:
    done = hawqc("plan", spec, "--set", "budget=48KiB")
    before, after = entry(spec)["metrics"]["size_bytes"], 48 * 1024
    assert "since the lock:" in done.stdout
    assert re.search(r"layer2\.0\.conv1 w8a8 → w4a8, −4\.4 % size", done.stdout)
    assert re.search(r"size 50\.64 KiB → [\d.]+ KiB \(−[\d.]+ %\)", done.stdout)
    assert before > after


def test_plan_leaves_out_what_the_same_build_found_not_accurate_enough(
    spec: Path, hawqc: Hawqc
) -> None:
    row = " ".join(precisions(entry(spec)).values())
    edit(lock_of(spec), lambda found: found.update(refused=[row]))
    plan = json.loads(hawqc("plan", spec, "--format", "json").stdout)
    assert " ".join(precisions(plan).values()) != row
    replace(spec, "switches <= 8", "switches <= 7")
    plan = json.loads(hawqc("plan", spec, "--format", "json").stdout)
    assert " ".join(precisions(plan).values()) == row


def test_plan_without_a_lock_says_nothing_of_it(spec: Path, hawqc: Hawqc) -> None:
    lock_of(spec).unlink()
    assert "lock" not in hawqc("plan", spec).stdout
    assert json.loads(hawqc("plan", spec, "--format", "json").stdout)["lock"] is None
    assert not lock_of(spec).exists()


@pytest.mark.usefixtures("no_code")
def test_builds_of_one_file_have_their_own_entries(
    spec: Path, hawqc: Hawqc, tmp_path: Path
) -> None:
    text = spec.read_text("utf-8")
    block = text[text.index("quantize ") :]
    two = block.replace("{", "as small {", 1).replace("size <= budget", "size <= 48 KiB")
    spec.write_text(f"{text}\n{two}", "utf-8")
    done = hawqc("build", spec, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert sorted(json.loads(lock_of(spec).read_text("utf-8"))["builds"]) == ["digits", "small"]
    first = entry(spec)
    replace(spec, "size <= 48 KiB", "size <= 49 KiB")
    small = entry(spec, "small")
    assert hawqc("build", f"{spec}:small", "--out", tmp_path / "out").exit_code == 0
    assert entry(spec) == first
    assert entry(spec, "small") != small
    spec.write_text(text, "utf-8")
    assert hawqc("build", spec, "--out", tmp_path / "out").exit_code == 0
    assert list(json.loads(lock_of(spec).read_text("utf-8"))["builds"]) == ["digits"]


@pytest.mark.usefixtures("no_code")
def test_a_lock_that_cannot_be_written_is_a_warning(
    spec: Path, hawqc: Hawqc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    before = lock_of(spec).read_bytes()
    monkeypatch.setattr("hawqlang.stages.lock.keep.write_atomic", refuse)
    done = hawqc("build", spec, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "warning[HQ864]" in done.stderr
    assert (tmp_path / "out" / "digits" / "manifest.json").is_file()
    assert lock_of(spec).read_bytes() == before


# ---- --locked ------------------------------------------------------------------------------------


def weights(spec: Path) -> tuple[str, ...]:
    with (spec.parent / "digits" / "digits.onnx").open("ab") as file:
        file.write(b"\0")
    return ()


def calibration(spec: Path) -> tuple[str, ...]:
    with (spec.parent / "digits" / "digits_calib.npz").open("ab") as file:
        file.write(b"\0")
    return ()


def constraint(spec: Path) -> tuple[str, ...]:
    replace(spec, "switches <= 8", "switches <= 6")
    return ()


def setting(spec: Path) -> tuple[str, ...]:
    del spec
    return ("--set", "budget=48KiB")


CHANGES = {
    "weights": (weights, "model digits/digits.onnx"),
    "calibration": (calibration, "calibration digits/digits_calib.npz"),
    "constraint": (constraint, "spec digits.hawq"),
    "setting": (setting, "--set budget"),
}


@pytest.mark.parametrize("command", ["check", "build"])
@pytest.mark.parametrize("name", CHANGES)
def test_locked_names_the_input_that_changed(
    spec: Path, hawqc: Hawqc, tmp_path: Path, name: str, command: str
) -> None:
    change, named = CHANGES[name]
    arguments = change(spec)
    if command == "build":
        arguments += ("--out", str(tmp_path / "out"))
    before = lock_of(spec).read_bytes()
    done = hawqc(command, spec, "--locked", *arguments)
    assert done.exit_code == 1
    assert "error[HQ863]" in done.output
    assert named in done.output
    assert "calibrate" not in done.stderr
    assert lock_of(spec).read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_locked_plan_names_layers_with_both_precisions(spec: Path, hawqc: Hawqc) -> None:
    out = spec.parent / "new.json"
    done = hawqc("plan", spec, "--locked", "--set", "budget=48KiB", "-o", out)
    assert done.exit_code == 1
    assert "--set budget: 48 KiB is new" in done.stderr
    assert "layer2.0.conv1 w8a8 → w4a8" in done.stderr
    assert not out.exists()


def precision(found: dict[str, Any]) -> None:
    found["layers"][2]["precision"] = "w8a8"


def perturbation(found: dict[str, Any]) -> None:
    found["layers"][0]["sensitivity"]["w8a8"] *= 2


def bound(found: dict[str, Any]) -> None:
    found["constraints"][0]["bound"] += 1024


HAND_EDITS = {
    "precision": (precision, "layer1.0.conv2 w8a8 → w4a4"),
    "sensitivity": (perturbation, "perturbation"),
    "constraint": (bound, "constraint fits"),
}


@pytest.mark.parametrize("name", HAND_EDITS)
def test_locked_plan_refuses_a_lock_edited_by_hand(spec: Path, hawqc: Hawqc, name: str) -> None:
    change, named = HAND_EDITS[name]
    assert hawqc("plan", spec, "--locked").exit_code == 0
    edit(lock_of(spec), change)
    done = hawqc("plan", spec, "--locked")
    assert done.exit_code == 1
    assert named in done.stderr


@pytest.mark.usefixtures("no_code")
def test_locked_build_names_the_dyadic_digest_and_writes_nothing(
    spec: Path, hawqc: Hawqc, tmp_path: Path
) -> None:
    assert hawqc("build", spec, "--out", tmp_path / "out").exit_code == 0
    shutil.rmtree(tmp_path / "out")
    edit(lock_of(spec), lambda found: found.update(dyadic="0" * 64))
    before = lock_of(spec).read_bytes()
    done = hawqc("build", spec, "--out", tmp_path / "out", "--locked")
    assert done.exit_code == 1
    assert "dyadic numbers: 000000000000… → " in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert lock_of(spec).read_bytes() == before


def test_the_version_of_a_library_alone_is_no_difference(spec: Path, hawqc: Hawqc) -> None:
    edit(lock_of(spec), lambda found: found["origin"]["versions"].update(torch="0.1"))
    assert hawqc("plan", spec, "--locked").exit_code == 0
    edit(lock_of(spec), lambda found: found["origin"]["versions"].update(hawqc="0.0.1"))
    done = hawqc("plan", spec, "--locked")
    assert done.exit_code == 1
    assert "version hawqc: 0.0.1 → " in done.stderr
    assert "version torch: 0.1 → " in done.stderr


@pytest.mark.parametrize("command", ["check", "plan", "build"])
def test_locked_needs_a_lock(spec: Path, hawqc: Hawqc, command: str) -> None:
    lock_of(spec).unlink()
    done = hawqc(command, spec, "--locked")
    assert done.exit_code == 1
    assert "HQ862" in done.output
    assert not lock_of(spec).exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<<<<<<< HEAD\n", "HQ860"),
        ('{"format_version": 1, "builds": {"digits": 3}}', "HQ860"),
        ('{"format_version": 2, "jobs": []}', "HQ861"),
    ],
)
@pytest.mark.parametrize("arguments", [(), ("--locked",)])
def test_a_lock_that_is_not_understood_is_left_alone(
    spec: Path, hawqc: Hawqc, text: str, code: str, arguments: tuple[str, ...]
) -> None:
    lock_of(spec).write_text(text, "utf-8")
    done = hawqc("build", spec, *arguments)
    assert done.exit_code == 1
    assert f"error[{code}]" in done.stderr
    assert "digits.hawq.lock" in done.stderr
    assert lock_of(spec).read_text("utf-8") == text


# ---- saved plans ---------------------------------------------------------------------------------


def test_build_refuses_a_plan_whose_spec_has_changed(
    project: Path, spec: Path, hawqc: Hawqc
) -> None:
    constraint(spec)
    done = hawqc("build", project / "plan.json", "--out", project / "again")
    assert done.exit_code == 1
    assert "error[HQ866]" in done.stderr
    assert "spec digits.hawq" in done.stderr
    assert not (project / "again").exists()


@pytest.mark.usefixtures("no_code")
def test_a_plan_made_with_a_setting_is_built_with_it(
    project: Path, spec: Path, hawqc: Hawqc
) -> None:
    plan = project / "small.json"
    assert hawqc("plan", spec, "--set", "budget=48KiB", "-o", plan).exit_code == 0
    done = hawqc("build", plan, "--out", project / "small", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["builds"][0]["plan"]["metrics"]["size_bytes"] <= 48 * 1024
    assert entry(spec)["origin"]["settings"] == {"budget": "48 KiB"}
    assert hawqc("build", plan, "--set", "budget=50KiB").exit_code == 2


@pytest.mark.usefixtures("no_code")
def test_a_plan_edited_by_hand_is_built_as_it_says_and_judged(
    project: Path, spec: Path, hawqc: Hawqc
) -> None:
    plan = project / "own.json"
    assert hawqc("plan", spec, "-o", plan).exit_code == 0

    def lower(found: dict[str, Any]) -> None:
        row = next(layer for layer in found["layers"] if layer["name"] == "layer1.0.conv1")
        row["precision"] = "w4a8"

    edit(plan, lower)
    done = hawqc("build", plan, "--out", project / "own", "--format", "json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["builds"][0]["plan"]
    assert found["status"] == "feasible"
    assert found["gap"] > 0
    assert precisions(found)["layer1.0.conv1"] == "w4a8"


@pytest.mark.parametrize(
    ("layer", "wanted", "reason"),
    [
        ("conv1", "w4a4", "breaks 'ends'"),
        ("conv1", "w16a16", "may not take w16a16"),
    ],
)
def test_a_planned_allocation_that_is_not_allowed_is_refused(
    project: Path, hawqc: Hawqc, layer: str, wanted: str, reason: str
) -> None:
    def change(found: dict[str, Any]) -> None:
        row = next(row for row in found["layers"] if row["name"] == layer)
        row["precision"] = wanted

    edit(project / "plan.json", change)
    done = hawqc("build", project / "plan.json", "--out", project / "again")
    assert done.exit_code == 1
    assert "HQ867" in done.stderr
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("", "HQ860"),
        (
            '{"format_version": 1, "kind": "hawqc plan", "spec": "/etc/a.hawq", "builds": {}}',
            "HQ865",
        ),
        ('{"format_version": 1, "kind": "else", "spec": "a.hawq", "builds": {}}', "HQ860"),
        ("[" * 100_000, "HQ860"),
    ],
)
def test_a_file_that_is_no_saved_plan_is_a_diagnostic(
    tmp_path: Path, hawqc: Hawqc, data: str, code: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(data, "utf-8")
    done = hawqc("build", path)
    assert done.exit_code == 1
    assert code in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_that_is_not_there_or_has_no_such_build(project: Path, hawqc: Hawqc) -> None:
    assert hawqc("build", project / "other.json").exit_code == 2
    done = hawqc("build", f"{project / 'plan.json'}:other")
    assert done.exit_code == 2
    assert "HQ825" in done.stderr


# ---- diff ----------------------------------------------------------------------------------------

SIDES = {
    "spec": "digits.hawq",
    "lock": "digits.hawq.lock",
    "plan": "plan.json",
    "artifact": "build/digits",
}


@pytest.mark.parametrize("a", SIDES)
@pytest.mark.parametrize("b", SIDES)
def test_any_two_forms_of_one_build_are_equal(built: Path, hawqc: Hawqc, a: str, b: str) -> None:
    done = hawqc("diff", built / SIDES[a], built / SIDES[b], "--exit-code", "--format", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["a"]["kind"], found["b"]["kind"]) == (a, b)
    assert found["changed"] == []
    size = found["metrics"]["digits"]["size_bytes"]
    assert size["difference"] == 0
    assert size["before"] == 51856


@pytest.fixture(scope="module")
def other(built: Path, hawqc: Hawqc) -> Path:
    """Another state of the same project, in the same four forms, of a smaller network."""
    folder = built.parent / "other"
    shutil.copytree(built, folder)
    spec = folder / "digits.hawq"
    replace(spec, "51 KiB", "48 KiB")
    with pytest.MonkeyPatch.context() as patch:
        leave_out_code(patch)
        assert hawqc("build", spec, "--out", folder / "build").exit_code == 0
    assert hawqc("plan", spec, "-o", folder / "plan.json").exit_code == 0
    return folder


@pytest.mark.parametrize("a", SIDES)
@pytest.mark.parametrize("b", SIDES)
def test_any_two_forms_of_two_states_show_the_same_change(
    built: Path, other: Path, hawqc: Hawqc, a: str, b: str
) -> None:
    first, second = built / SIDES[a], other / SIDES[b]
    done = hawqc("diff", first, second, "--exit-code", "--format", "json")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    row = next(row for row in found["changed"] if row["layer"] == "layer2.0.conv1")
    assert row == {
        "build": "digits",
        "layer": "layer2.0.conv1",
        "before": "w8a8",
        "after": "w4a8",
        "size_bytes": -2304.0,
        "size_percent": pytest.approx(-100 * 2304 / 51856),
    }
    size = found["metrics"]["digits"]["size_bytes"]
    assert size["after"] == 51856 + sum(row["size_bytes"] for row in found["changed"])
    assert size["percent"] == pytest.approx(100 * (size["after"] / 51856 - 1))


def test_specs_are_compared_statement_by_statement(built: Path, other: Path, hawqc: Hawqc) -> None:
    done = hawqc("diff", built / "digits.hawq", other / "digits.hawq", "--format", "json")
    assert json.loads(done.stdout)["spec"] == [
        {
            "build": None,
            "removed": ["param budget: size = 51 KiB"],
            "added": ["param budget: size = 48 KiB"],
        },
    ]


def test_specs_that_were_never_built_are_compared_without_torch(
    project: Path, other: Path, repository: Path
) -> None:
    lock_of(project / "digits.hawq").unlink()
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from hawqlang.cli.app import make_app\n"
        f"sides = [{str(project / 'digits.hawq')!r}, {str(other / 'digits.hawq')!r}]\n"
        "done = CliRunner().invoke(make_app(), ['diff', *sides])\n"
        "print(done.stdout, done.exit_code, sorted({'torch', 'tvm', 'z3'} & set(sys.modules)))\n"
    )
    paths = os.pathsep.join([str(repository), str(repository / "codegen")])
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "no allocation is known, the specs are compared" in found
    assert "- param budget: size = 51 KiB" in found
    assert found.rstrip().endswith("0 []")


def test_diff_tells_that_a_lock_is_of_another_state_of_the_spec(spec: Path, hawqc: Hawqc) -> None:
    constraint(spec)
    done = hawqc("diff", spec, lock_of(spec))
    assert done.exit_code == 0
    assert "is of another state of the spec" in done.stdout


def test_diff_of_a_spec_without_allocation_and_a_plan_is_an_error(
    project: Path, spec: Path, hawqc: Hawqc
) -> None:
    lock_of(spec).unlink()
    done = hawqc("diff", spec, project / "plan.json")
    assert done.exit_code == 1
    assert "HQ869" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("digits.hawq",), "HQ871"),
        (("digits.hawq", "digits.hawq", "--against", "HEAD"), "HQ871"),
        (("digits.hawq", "nothing.hawq"), "HQ823"),
        (("digits.hawq", "--against", "HEAD"), "HQ870"),
    ],
)
def test_misuse_of_diff_ends_with_status_2(
    project: Path,
    hawqc: Hawqc,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: str,
) -> None:
    monkeypatch.chdir(project)
    done = hawqc("diff", *arguments)
    assert done.exit_code == 2
    assert code in done.stderr


def test_diff_against_a_revision_reads_spec_and_lock_of_then(
    project: Path, spec: Path, other: Path, hawqc: Hawqc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "*.hawq", "*.lock"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *command], check=True)  # noqa: S607 - the git of the test machine
    for name in ("digits.hawq", "digits.hawq.lock"):
        shutil.copy(other / name, project / name)
    before = sorted(project.rglob("*"))
    done = hawqc("diff", spec.name, "--against", "HEAD", "--format", "json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["a"] == {"kind": "spec", "name": "digits.hawq at HEAD"}
    assert found["spec"][0]["removed"] == ["param budget: size = 51 KiB"]
    assert {row["layer"] for row in found["changed"]} >= {"layer2.0.conv1"}
    assert sorted(p for p in project.rglob("*") if ".git" not in p.parts) == [
        p for p in before if ".git" not in p.parts
    ]
    assert hawqc("diff", "plan.json", "--against", "HEAD").exit_code == 2
    missing = hawqc("diff", spec.name, "--against", "no-such-branch")
    assert missing.exit_code == 2
    assert "there is no revision 'no-such-branch'" in missing.stderr
