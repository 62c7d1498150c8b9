"""Settings that change what the integers mean, each in a build of the digits example that `verify` proves bit-exact."""

from __future__ import annotations

import json
import math
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
  training    = arrays("digits/digits_calib.npz")
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


def layers(built: Built) -> dict[str, Conv2d | Linear]:
    return {op.name: op for op in built.program.ops if isinstance(op, Conv2d | Linear)}


def test_residual_operands_of_sixteen_bits_entropy_ranges_and_stochastic_rounding(
    folder: Path,
) -> None:
    body = """  precision = w8a8
  residual  = 16
  seed      = 1
  weights {
    rounding = stochastic
  }
  activations {
    range = entropy
  }"""
    built = build(folder, "sixteen", body)
    built.assert_proven(accuracy=0.97)
    assert any(t.bits == 16 for t in built.program.tensors)
    card = Path(built.said["dir"], "card.md").read_text(encoding="utf-8")
    assert "stochastic, seed 1" in card


def test_sums_of_sixteen_bits_beside_residual_operands_of_thirty_two(folder: Path) -> None:
    body = """  precision   = [w4a4, w8a8]
  accumulator = int16
  residual    = 32
  activations {
    range = ema(0.9)
  }
  layer first, last {
    precision   = w8a8
    accumulator = int24
  }"""
    built = build(folder, "narrow", body)
    built.assert_proven(accuracy=0.96)
    found = layers(built)
    assert {op.accumulator for op in found.values()} == {"int16", "int24"}
    inner = [op for op in found.values() if op.accumulator == "int16"]
    assert {op.weight_bits for op in inner} == {4}
    assert {b.limit for b in built.program.bounds} == {2**15 - 1, 2**23 - 1, 2**31 - 1}
    kernels = Path(built.said["dir"], "tvm", "kernels_avx2.py").read_text(encoding="utf-8")
    assert "int16 sums" in kernels
    assert sum(t.bits == 32 for t in built.program.tensors) > 1


def test_affine_weights_and_weights_in_groups(folder: Path) -> None:
    body = """  precision = w4a8
  weights {
    scheme = affine
    range  = mse
  }
  layer "layer2.*" {
    weights {
      granularity = group(6)
    }
  }
  layer "layer3.*" {
    weights {
      scheme      = symmetric
      granularity = group(16)
    }
  }
  layer first, last {
    precision = w8a8
  }"""
    built = build(folder, "affine", body)
    built.assert_proven(accuracy=0.97)
    card = Path(built.said["dir"], "card.md").read_text(encoding="utf-8")
    assert "affine" in card
    assert "rounding by output error in" in card
    found = layers(built)
    terms = {name: op.terms for name, op in found.items()}
    assert terms["conv1"] is not None
    assert terms["conv1"].multiple is None
    for name, affine in (("layer2.1.conv1", True), ("layer3.0.conv1", False)):
        own = terms[name]
        assert own is not None
        assert own.multiple is not None
        assert (own.zero is not None) == affine
    weights = sum(op.weight_bits * math.prod(op.weight_shape) for op in found.values())
    assert built.said["plan"]["metrics"]["size_bytes"] == weights / 8


def test_affine_and_grouped_weights_are_trained(folder: Path) -> None:
    body = """  precision = w2a4
  finetune  = METHOD
  bias_correction = false
  weights {
    scheme   = affine
    rounding = nearest
  }
  layer "layer3.*" {
    weights {
      granularity = group(16)
    }
  }
  layer first, last {
    precision = w8a8
  }"""
    plain = build(folder, "untrained", body.replace("METHOD", "none"))
    method = "qat(epochs = 6, lr = 0.0005, distill = true)"
    built = build(folder, "affine_trained", body.replace("METHOD", method))
    card = Path(built.said["dir"], "card.md").read_text(encoding="utf-8")
    (line,) = [line for line in card.splitlines() if line.startswith("| Fine-tuning")]
    assert f"{len(layers(built))} layers: loss " in line
    assert "kept" in line
    built.assert_proven(accuracy=plain.said["evaluation"]["accuracy"])
    for name, op in layers(built).items():
        before = layers(plain)[name].terms
        assert op.terms is not None
        assert before is not None
        assert (op.terms.zero, op.terms.multiple) == (before.zero, before.multiple)
        assert op.weight != layers(plain)[name].weight


def test_a_layer_that_no_candidate_certifies_is_an_error_that_names_the_bounds(
    folder: Path,
) -> None:
    spec = folder / "none.hawq"
    body = "  precision = [w8a8, w8a6]\n  accumulator = int16"
    spec.write_text(f"{HEAD}\nquantize digits on laptop with scans {{\n{body}\n}}\n")
    result = CliRunner().invoke(make_app(), ["build", str(spec), "--out", str(folder / "out")])
    assert result.exit_code == 1
    assert "error[HQ503]: layer 'layer1.0.conv1' has no candidate left" in result.stderr
    assert "w8a6: its sums reach" in result.stderr
    assert "int16 ends at 32767" in result.stderr


def test_every_width_up_to_sixteen_bits_is_built_or_refused(folder: Path) -> None:
    body = """  precision = [w16a16, w2a8]
  layer "layer2.*" {
    precision = [w16a16, w3a6]
  }
  layer "layer3.0.*" {
    precision = [w16a16, w8a16]
  }
  layer last {
    precision = [w16a16, w12a5]
  }
  layer first {
    precision = [w16a16, w5a9]
  }"""
    built = build(folder, "widths", body)
    built.assert_proven(accuracy=0.9)
    chosen = {layer["name"]: layer["precision"] for layer in built.said["plan"]["layers"]}
    assert chosen["conv1"] == "w5a9"
    assert chosen["layer1.0.conv1"] == "w2a8"
    assert chosen["layer3.0.conv1"] == "w8a16"
    assert chosen["fc"] == "w12a5"
    bits = {int(p[1:].split("a")[0]) for p in chosen.values()}
    assert bits == {op.weight_bits for op in layers(built).values()}
