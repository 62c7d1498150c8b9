"""Blocks of well-known families through the whole compiler: calibrated, allocated, built, and proven bit-exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from tests.support.blocks import FAMILIES, SIZE, write_family

SPEC = """hawq 1

model net {{
  source = onnx("net.onnx")
  input  = image({size}, {size}, mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25])
}}
dataset images {{
  calibration = arrays("calibration.npz")
}}
target laptop {{
  device = cpu.x86_64
}}
quantize net on laptop with images {{
  precision = [w4a8, w8a8]
  subject to {{
    small: size <= 75% of size(w8a8)
  }}
  emit {emit}
}}
"""


def project(folder: Path, family: str, emit: str = "tvm") -> Path:
    """A spec beside the network and random images, its path."""
    write_family(family, folder / "net.onnx")
    images = np.random.default_rng(1).integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8)
    np.savez(folder / "calibration.npz", x=images)
    spec = folder / "net.hawq"
    spec.write_text(SPEC.format(size=SIZE, emit=emit), encoding="utf-8")
    return spec


def invoke(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setenv("HAWQ_CACHE", str(folder / "cache"))
    return CliRunner().invoke(make_app(), [*arguments, "--format", "json"])


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=pytest.mark.slow) for name in sorted(FAMILIES)],
)
def test_a_family_is_built_and_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    spec = project(tmp_path, family)
    built = invoke(tmp_path, monkeypatch, "build", str(spec), "--out", str(tmp_path / "out"))
    assert built.exit_code == 0, built.stderr
    place = json.loads(built.stdout)["builds"][0]["dir"]
    verified = invoke(tmp_path, monkeypatch, "verify", place, "--inputs", "4")
    assert verified.exit_code == 0, verified.stderr
    verdict = json.loads(verified.stdout)
    assert verdict["bit_exact"] is verdict["integer_only"] is verdict["overflow_free"] is True
    assert "tvm:avx2" in verdict["backends"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_is_checked_and_its_layers_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    result = invoke(tmp_path, monkeypatch, "check", str(project(tmp_path, family)))
    assert result.exit_code == 0, result.stdout
    assert json.loads(result.stdout)["diagnostics"] == []
