"""Accuracy constraints: each attempt recorded, the next best tried, and nothing finished done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from hawqlang.backend.registry import BACKENDS
from hawqlang.base import TensorRef
from hawqlang.cache import Cache, TensorStore
from hawqlang.cli.app import make_app
from hawqlang.diagnostics import Diagnostic
from hawqlang.interpret import logits
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import Blob, KernelSet
from hawqlang.ir.spec import Emit, Target
from hawqlang.ir.verdict import BackendVerdict, Verdict
from hawqlang.session import Session
from hawqlang.stages import realise
from hawqlang.stages.analyse import analyse
from hawqlang.stages.resolve import resolve_file

Array = npt.NDArray[Any]


class Interpreted:
    """A back end without a compiler: its library is the interpreter."""

    name = "tvm"

    def __init__(self) -> None:
        self.built = 0
        self.die_at = 0
        """Which build is interrupted; 0: none."""
        self._programs: dict[str, tuple[IntegerProgram, TensorStore]] = {}
        self._last = ""

    def generate(
        self, program: IntegerProgram, target: Target, store: TensorStore, emit: Emit | None = None
    ) -> KernelSet:
        del target, emit
        data = store.put(np.frombuffer(program.model_dump_json().encode(), dtype=np.uint8))
        self._programs[data.digest] = (program, store)
        blob = Blob(path="program.json", data=data)
        return KernelSet(
            backend="tvm", sources=(), blobs=(blob,), arena_bytes=0, arena_lower_bound_bytes=0
        )

    def build(self, kernels: KernelSet, folder: Path, store: TensorStore) -> tuple[Diagnostic, ...]:
        del store
        self.built += 1
        if self.built == self.die_at:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        ref: TensorRef = kernels.blobs[0].data
        (folder / "digest").write_text(ref.digest, encoding="utf-8")
        return ()

    def load(self, folder: Path, variant: str | None = None) -> Any:
        del variant
        program, store = self._programs[(folder / "digest").read_text(encoding="utf-8")]

        class Runner:
            variant = "interpreter"
            slow = False

            def run(self, images: Array) -> Array:
                return logits(program, store, images)

            def close(self) -> None:
                pass

        return Runner()


class Counter:
    """Counts the calls of a step and passes them on."""

    def __init__(self, step: Any) -> None:
        self.calls = 0
        self._step = step

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        return self._step(*arguments, **named)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Interpreted:
    found = Interpreted()
    registry: Any = BACKENDS
    monkeypatch.setitem(registry, "tvm", lambda: found)
    return found


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Counter]:
    """Bias correction and evaluation, counted."""
    counted = {name: Counter(getattr(realise, name)) for name in ("fit", "integer_top1")}
    for name, counter in counted.items():
        monkeypatch.setattr(realise, name, counter)
    return counted


@pytest.fixture(scope="module")
def measured(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the analysis of the example and nothing else."""
    folder = tmp_path_factory.mktemp("measured")
    found, _ = resolve_file(repository / "specs" / "examples" / "digits.hawq", overrides={})
    assert found is not None
    analyse(found.builds[0], Session(Cache(folder)), lambda _: None)
    return folder


@pytest.fixture(autouse=True)
def _cache(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(measured, tmp_path / "cache")
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))


def spec(repository: Path, folder: Path, constraint: str, attempts: int) -> Path:
    """The digits example with another accuracy constraint."""
    example = repository / "specs" / "examples"
    shutil.copytree(example / "digits", folder / "digits")
    text = (example / "digits.hawq").read_text(encoding="utf-8")
    assert "good: accuracy_drop <= 1%" in text
    text = text.replace("good: accuracy_drop <= 1%", f"good: {constraint}")
    path = folder / "tried.hawq"
    path.write_text(text.replace("minimize", f"attempts = {attempts}\n  minimize"), "utf-8")
    return path


def build(path: Path, *options: str) -> Any:
    arguments = ["build", str(path), "--out", str(path.parent / "out"), *options]
    return CliRunner().invoke(make_app(), arguments)


def returning(value: object) -> Callable[..., object]:
    """Return a function that takes anything and gives ``value``."""

    def give(*_: object) -> object:
        return value

    return give


def test_every_failed_attempt_is_in_the_diagnostic(
    backend: Interpreted, repository: Path, tmp_path: Path
) -> None:
    result = build(spec(repository, tmp_path, "accuracy >= 100%", 3))

    assert result.exit_code == 1
    assert "HQ840" in result.stderr
    lines = [line for line in result.stderr.splitlines() if "attempt " in line]
    assert [line.split("attempt ")[1][:2] for line in lines] == ["1:", "2:", "3:"]
    assert all("good: " in line and "(fails)" in line and "size " in line for line in lines)
    assert "→" not in lines[0]
    assert all("→" in line for line in lines[1:])
    assert backend.built == 3
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_build_does_not_repeat_what_was_finished(
    backend: Interpreted, steps: Mapping[str, Counter], repository: Path, tmp_path: Path
) -> None:
    file = spec(repository, tmp_path, "accuracy >= 100%", 2)
    backend.die_at = 2
    assert build(file).exit_code == 130
    assert steps["fit"].calls == 2
    assert steps["integer_top1"].calls == 1

    backend.die_at = 0
    again = build(file)

    assert "HQ840" in again.stderr
    assert steps["fit"].calls == 2  # both allocations were tuned before
    assert steps["integer_top1"].calls == 2  # the second for the first time
    assert backend.built == 3  # the first is known to fail, and not even built


def test_the_attempt_that_holds_is_last_in_json_and_card(
    backend: Interpreted, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accuracy to reach is what the second allocation has and the first lacks."""
    shares = iter((0.5, 1.0))

    def first_half_right(runner: Any, samples: Any, *_: Any) -> Any:
        del runner
        right = int(len(samples) * next(shares))
        found = np.array(samples.labels)
        found[right:] = (found[right:] + 1) % 10
        return found

    exact = BackendVerdict(
        backend="tvm", variant="interpreter", bit_exact=True, inputs=1, tensors=1, integer_only=True
    )
    proven = Verdict(backends=(exact,), overflow_free=True, hashes=True)
    monkeypatch.setattr(realise, "integer_top1", first_half_right)
    monkeypatch.setattr(realise, "verify", returning(proven))
    file = spec(repository, tmp_path, "accuracy >= 90%", 4)

    result = build(file, "--format", "json")

    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["builds"][0]
    first, second = found["attempts"]
    assert set(first) == {"number", "metrics", "changes", "constraints", "holds", "seconds"}
    assert (first["number"], first["holds"], first["changes"]) == (1, False, [])
    assert (second["number"], second["holds"]) == (2, True)
    assert [one["value"] for one in (*first["constraints"], *second["constraints"])] == [0.5, 1.0]
    assert first["metrics"]["perturbation"] < second["metrics"]["perturbation"]
    chosen = {layer["name"]: layer["precision"] for layer in found["plan"]["layers"]}
    assert second["changes"]
    assert all(chosen[change["layer"]] == change["after"] for change in second["changes"])
    assert found["plan"]["excluded"] == 1
    assert found["plan"]["status"] == "optimal"
    card = (Path(found["dir"]) / "card.md").read_text(encoding="utf-8")
    assert "proven optimal among those not excluded that satisfy the constraints" in card
    assert "good: 50.00 % (fails)" in card
    assert "good: 100.00 % (holds)" in card

    again = build(file)  # in words; the first attempt is known to fail, and not built
    assert again.exit_code == 0, again.stderr
    lines = [line for line in again.stdout.splitlines() if line.startswith("attempt ")]
    assert ["(fails)" in line for line in lines] == [True, False]
    assert "proven optimal among those not excluded" in again.stdout
    assert backend.built == 3


def test_an_accuracy_constraint_that_cannot_be_evaluated_is_a_diagnostic(
    backend: Interpreted, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that vanish between resolving and building, so that nothing could be counted as right."""
    monkeypatch.setattr(realise, "_evaluate", returning(None))

    result = build(spec(repository, tmp_path, "accuracy >= 90%", 4))

    assert result.exit_code == 1
    assert "HQ234" in result.stderr
    assert "'good' cannot be checked" in result.stderr
