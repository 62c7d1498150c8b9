"""Settings that change what the integers mean, each in a build of the digits example that `verify` proves bit-exact."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Conv2d, Linear
from hawqlang.stages.bundle import read_reference

HEAD = """hawq 1

model digits {
  source = onnx("digits/digits.onnx")
  input  = image(8, 8, channels = 1, mean = [0.305], std = [0.377])
}
dataset scans {
  calibration = arrays("digits/digits_calib.npz")
  evaluation  = arrays("digits/digits_eval.npz")
}
target laptop {
  device = cpu.x86_64
}
"""


@dataclass(frozen=True)
class Built:
    """An artifact: what the build said of it, and its integer program."""

    said: dict[str, Any]
    program: IntegerProgram

    def assert_proven(self, *, accuracy: float) -> None:
        """Every instruction set of this machine agrees with the interpreter, on integers alone, without overflow."""
        result = CliRunner().invoke(
            make_app(), ["verify", self.said["dir"], "--format", "json", "--inputs", "4"]
        )
        assert result.exit_code == 0, result.stderr
        verdict = json.loads(result.stdout)
        assert verdict["bit_exact"] is verdict["integer_only"] is verdict["overflow_free"] is True
        assert "tvm:avx2" in verdict["backends"]
        assert self.said["evaluation"]["accuracy"] >= accuracy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Path]:
    """A project with the digits' files; all its builds share one cache."""
    place = tmp_path_factory.mktemp("settings")
    shutil.copytree(repository / "specs" / "examples" / "digits", place / "digits")
    before = os.environ.get("HAWQ_CACHE")
    os.environ["HAWQ_CACHE"] = str(place / "cache")
    yield place
    if before is None:
        del os.environ["HAWQ_CACHE"]
    else:
        os.environ["HAWQ_CACHE"] = before


def build(folder: Path, name: str, body: str) -> Built:
    """Build the digits with the settings of ``body``."""
    spec = folder / f"{name}.hawq"
    text = (
        f"{HEAD}\nquantize digits on laptop with scans as {name} {{\n{body}\n  emit tvm, card\n}}\n"
    )
    spec.write_text(text, encoding="utf-8")
    arguments = ["build", str(spec), "--out", str(folder / "out"), "--format", "json"]
    result = CliRunner().invoke(make_app(), arguments)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)["builds"][0]
    program, _ = read_reference(Path(said["dir"]))
    return Built(said, program)


def test_residual_operands_of_sixteen_bits_with_ranges_by_entropy(folder: Path) -> None:
    body = "  precision = w8a8\n  residual  = 16\n  activations {\n    range = entropy\n  }"
    built = build(folder, "sixteen", body)
    built.assert_proven(accuracy=0.97)
    assert any(t.bits == 16 for t in built.program.tensors)


def test_residual_operands_of_thirty_two_bits_with_moving_averages(folder: Path) -> None:
    body = "  precision = w4a8\n  residual  = 32\n  activations {\n    range = ema(0.9)\n  }"
    built = build(folder, "thirtytwo", body)
    built.assert_proven(accuracy=0.96)
    stored = [t for t in built.program.tensors if t.bits == 32]
    assert len(stored) > 1


def test_weights_rounded_stochastically_depend_on_the_seed(folder: Path) -> None:
    body = "  precision = w8a8\n  weights {\n    rounding = stochastic\n  }\n  seed = "
    first = build(folder, "random", body + "1")
    first.assert_proven(accuracy=0.97)
    weights = [op.weight for op in first.program.ops if isinstance(op, Conv2d | Linear)]
    other = build(folder, "random", body + "2")
    others = [op.weight for op in other.program.ops if isinstance(op, Conv2d | Linear)]
    assert not set(weights) & set(others)
