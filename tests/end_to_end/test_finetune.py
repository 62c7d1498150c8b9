"""Training inside a build: what the library answers is what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from tests.support.imports import export, randomise
from tests.support.networks import SmallNet

SPEC = """hawq 1

model net {
  source = onnx("net.onnx")
  input  = image(8, 8, channels = 1, mean = [0.5], std = [0.25])
}

dataset drawn {
  calibration = arrays("calib.npz")
  evaluation  = arrays("eval.npz")
  training    = TRAINING
}

target host {
  device = cpu.x86_64
}

quantize net on host with drawn {
  precision = PRECISION
  finetune  = METHOD

  layer first, last {
    precision = w8a8
  }

  emit tvm, card
}
"""


def write(folder: Path, training: str, precision: str, method: str) -> Path:
    """Write a network, images that it labels itself, and the spec."""
    net = SmallNet(nn.BatchNorm2d)
    randomise(net)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (600, 4, 4, 1)).repeat(2, 1).repeat(2, 2).astype(np.uint8)
    seen = torch.from_numpy((coarse.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25).float()
    with torch.no_grad():
        net.fc.bias -= net(seen).mean(0)
        labels = net(seen).argmax(1).numpy()
    for name, part in (("calib", slice(64)), ("train", slice(400)), ("eval", slice(400, 600))):
        np.savez(folder / f"{name}.npz", x=coarse[part], y=labels[part])
    export(net, folder / "net.onnx", (1, 8, 8), preserve=True)
    path = folder / "net.hawq"
    text = SPEC.replace("TRAINING", training).replace("METHOD", method)
    path.write_text(text.replace("PRECISION", precision), encoding="utf-8")
    return path


QAT = "qat(epochs = 4, lr = 0.002, distill = true)"
NARROW = "overflow_aware(epochs = 4, lr = 0.002, distill = true)\n  accumulator = int16"
BINARY = "mean_field(levels = [-1, 1], epochs = 40, lr = 0.0005, distill = true)"


@pytest.mark.parametrize(
    ("training", "precision", "method", "said", "least"),
    [
        ('arrays("train.npz")', "w2a4", QAT, "qat, 4 epochs of 350 real samples", 0.6),
        pytest.param(
            'arrays("train.npz")',
            "w1a8",
            BINARY,
            "mean_field, 40 epochs of 350 real samples",
            0.6,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'arrays("train.npz")',
            "w8a8",
            NARROW,
            "overflow_aware, 4 epochs of 350 real samples",
            0.6,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "zero_shot(64, steps = 10)",
            "w4a4",
            QAT,
            "qat, 4 epochs of 56 synthetic samples",
            0.6,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["real", "binary", "narrow", "synthetic"],
)
def test_a_network_is_trained_and_built(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: str,
    precision: str,
    method: str,
    said: str,
    least: float,
) -> None:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    spec = write(tmp_path, training, precision, method)
    result = CliRunner().invoke(
        make_app(), ["build", str(spec), "--out", str(tmp_path / "out"), "--format", "json"]
    )
    assert result.exit_code == 0, result.stderr
    (built,) = json.loads(result.stdout)["builds"]
    card = Path(built["dir"], "card.md").read_text(encoding="utf-8")
    (line,) = [line for line in card.splitlines() if line.startswith("| Fine-tuning")]
    assert f"| {said}, distilled from FP32, 3 layers: loss " in line
    assert built["evaluation"]["accuracy"] > least
