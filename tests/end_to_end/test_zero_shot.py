"""A build that sees no data at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.stages.bundle import read_manifest
from hawqlang.stages.zero_shot.samples import ARRAYS, SHEET
from tests.support.imports import export, randomise
from tests.support.networks import SmallNet

Hawqc = Callable[..., Any]

SPEC = """hawq 1

model net {
  source = onnx("net.onnx")
  input  = image(8, 8, channels = 1, mean = [0.305], std = [0.377])
}

dataset none {
  calibration = zero_shot(32, steps = 12)
}

quantize net on host with none {
  precision   = [w4a8, w8a8]
  sensitivity = hessian(probes = 4, tolerance = 50%, samples = 8)

  subject to {
    fits: size <= 0.8 KiB
  }

  emit tvm, card
}

target host {
  device = cpu.x86_64
}
"""


@pytest.fixture
def hawqc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hawqc:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    return lambda *arguments: CliRunner().invoke(make_app(), [str(a) for a in arguments])


def write(folder: Path, norm: type[nn.Module] = nn.BatchNorm2d) -> Path:
    """Write the network and its spec."""
    export(randomise(SmallNet(norm)), folder / "net.onnx", (1, 8, 8), preserve=True)
    path = folder / "net.hawq"
    path.write_text(SPEC, encoding="utf-8")
    return path


def built(hawqc: Hawqc, spec: Path, out: Path) -> Path:
    result = hawqc("build", spec, "--out", out, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return Path(json.loads(result.stdout)["builds"][0]["dir"])


def test_a_network_is_built_and_verified_without_any_data(hawqc: Hawqc, tmp_path: Path) -> None:
    folder = built(hawqc, write(tmp_path), tmp_path / "out")
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "32 synthetic samples (zero_shot, 12 steps)" in card
    assert "no real sample" in card
    with np.load(folder / ARRAYS) as arrays:
        assert arrays["x"].shape == (32, 8, 8, 1)
        assert arrays["x"].dtype == np.uint8
    assert (folder / SHEET).read_bytes().startswith(b"\x89PNG")
    listed = {entry.path for entry in read_manifest(folder).files}
    assert {ARRAYS, SHEET} <= listed
    verified = hawqc("verify", folder, "--inputs", "2", "--format", "json")
    verdict = json.loads(verified.stdout)
    assert verified.exit_code == 0
    assert verdict["bit_exact"]
    assert "without calibration images" not in verified.stderr


def test_a_second_run_finds_the_samples_of_the_first(
    hawqc: Hawqc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(tmp_path)
    first = hawqc("plan", spec, "--format", "json")
    assert first.exit_code == 0, first.stderr
    monkeypatch.setattr("hawqlang.stages.zero_shot.synthesise", None)
    assert hawqc("plan", spec, "--format", "json").stdout == first.stdout
    spec.write_text(SPEC.replace("emit", "seed = 1\n  emit"), encoding="utf-8")
    assert (
        hawqc("plan", spec).exit_code == 2
    )  # other samples are wanted, and there is nothing to make them


def test_a_network_without_batch_norm_is_refused_with_a_remedy(
    hawqc: Hawqc, tmp_path: Path
) -> None:
    result = hawqc("plan", write(tmp_path, nn.Identity))
    assert result.exit_code == 1
    assert "HQ440" in result.stderr
    assert "net.hawq:9:" in result.stderr
    assert "TrainingMode.PRESERVE" in result.stderr
