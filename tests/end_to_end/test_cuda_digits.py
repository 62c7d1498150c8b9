"""`emit cuda` on the data that ships with the project, on a machine without nvcc: build, verify, eval, run, bench."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.interpret import logits
from hawqlang.stages.bundle import read_manifest, read_reference

Hawqc = Callable[..., Any]

pytestmark = pytest.mark.slow

SPEC = """hawq 1

model digits {
  source = onnx("digits/digits.onnx")
  input  = image(8, 8, channels = 1, mean = [0.305], std = [0.377])
}

dataset scans {
  calibration = arrays("digits/digits_calib.npz", count = 32)
  evaluation  = arrays("digits/digits_eval.npz", count = 100)
}

target server {
  device = nvidia.t4
  batch  = 4
}

quantize digits on server with scans {
  precision = w4a4
  layer first, last {
    precision = w8a8
  }
  emit cuda { arch = [sm_75, sm_90] }
  emit card
}
"""


@pytest.fixture
def hawqc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hawqc:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NVCC", "no-such-compiler")

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(make_app(), [str(a) for a in arguments])

    return run


def test_an_artifact_for_gpus_is_proven_without_one(
    hawqc: Hawqc, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository / "specs" / "examples" / "digits", tmp_path / "digits")
    spec = tmp_path / "net.hawq"
    spec.write_text(SPEC)
    built = hawqc("build", spec, "--out", tmp_path / "build", "--format", "json")
    assert built.exit_code == 0, built.output
    assert "HQ806" in built.stderr
    folder = Path(json.loads(built.stdout)["builds"][0]["dir"])

    verified = hawqc("verify", folder, "--inputs", 2, "--format", "json")
    assert verified.exit_code == 0, verified.output
    report = json.loads(verified.stdout)
    assert set(report["backends"]) == {"cuda:emulated-sm_75", "cuda:emulated-sm_90"}
    assert (report["bit_exact"], report["integer_only"], report["overflow_free"]) == (True,) * 3

    evaluated = json.loads(hawqc("eval", folder, "--format", "json").stdout)
    assert evaluated["n"] == 100
    assert evaluated["accuracy"] > 0.9

    program, store = read_reference(folder)
    pixels = np.load(tmp_path / "digits" / "digits_eval.npz")["x"][:5]
    images = pixels.reshape(5, *program.tensor(program.input).shape).astype(np.uint8)
    np.save(tmp_path / "in.npy", images)
    ran = hawqc("run", folder, tmp_path / "in.npy", "-o", tmp_path / "out.npy")
    assert ran.exit_code == 0, ran.output
    assert "library for devices was not built" in ran.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), logits(program, store, images))

    timed = hawqc("bench", folder)
    assert timed.exit_code == 1
    assert "HQ816" in timed.output
    assert "library for devices was not built" in timed.output

    choices = json.loads((folder / "cuda" / "kernels.json").read_text())
    assert choices["batch"] == 4
    assert {row["operands"] for row in choices["layers"]} & {"kU4S4", "kS4S4"}
    assert [entry.name for entry in read_manifest(folder).backends] == ["cuda"]


def test_a_kernel_that_was_tampered_with_is_caught(
    hawqc: Hawqc, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository / "specs" / "examples" / "digits", tmp_path / "digits")
    spec = tmp_path / "net.hawq"
    spec.write_text(SPEC)
    built = hawqc("build", spec, "--out", tmp_path / "build", "--format", "json")
    folder = Path(json.loads(built.stdout)["builds"][0]["dir"])
    blob = folder / "cuda" / "weights.bin"
    data = bytearray(blob.read_bytes())
    data[100] ^= 1
    blob.write_bytes(data)
    verified = hawqc("verify", folder)
    assert verified.exit_code == 1
    assert "HQ803" in verified.output
