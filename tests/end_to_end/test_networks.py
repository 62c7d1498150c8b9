"""Public networks on real images, from text to a verified library: through the zoo and through ONNX files.

The bounds are paired differences of top-1 accuracy to FP32, in points.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from tests.support.imports import export
from tests.support.networks import CifarResNet, MobileNetV1, SqueezeNet

State = Mapping[str, Tensor]
JPEG = "cifar10/test_jpeg_dev4500.npz"
FIRES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
"""Place of each fire module in torchvision's SqueezeNet 1.1."""


def squeezenet_state(state: State) -> State:
    """Rename ``fire2.squeeze1x1`` and its like to torchvision's keys."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        module, *rest = key.split(".")
        if module.startswith("fire"):
            part = rest[0].replace("squeeze1x1", "squeeze")
            renamed[f"features.{FIRES[int(module[4:])]}.{part}.{rest[1]}"] = value
        else:
            renamed[f"{ {'conv1': 'features.0', 'conv10': 'classifier.1'}[module] }.{rest[0]}"] = (
                value
            )
    return renamed


@dataclass(frozen=True)
class Case:
    """A spec of ``specs/examples`` and what must come of it."""

    spec: str
    weights: str
    size: int
    module: Callable[[], nn.Module]
    largest_drop: float
    """In points, on ``data`` or the spec's own evaluation set."""
    data: str | None = None
    rename: Callable[[State], State] = dict


CASES = {
    "resnet20": Case("cifar_resnet20", "cifar10_resnet20", 32, lambda: CifarResNet(20), 0.5, JPEG),
    "resnet32": Case("cifar_resnet32", "cifar10_resnet32", 32, lambda: CifarResNet(32), 0.5, JPEG),
    "resnet44": Case("cifar_resnet44", "cifar10_resnet44", 32, lambda: CifarResNet(44), 0.5, JPEG),
    "squeezenet": Case(
        "squeezenet",
        "imagenet_squeezenet1_1",
        227,
        lambda: SqueezeNet("1_1"),
        1.0,
        rename=squeezenet_state,
    ),
    "mobilenet": Case(
        "mobilenet_v1", "imagenet_mobilenet_v1_0.25_224", 224, lambda: MobileNetV1(0.25), 2.5
    ),
}
ROUTES = [
    pytest.param("resnet20", "zoo"),
    pytest.param("resnet20", "onnx"),
    pytest.param("mobilenet", "zoo"),
    pytest.param("squeezenet", "onnx"),
    pytest.param("mobilenet", "onnx", marks=pytest.mark.slow),
    pytest.param("squeezenet", "zoo", marks=pytest.mark.slow),
    pytest.param("resnet32", "zoo", marks=pytest.mark.slow),
    pytest.param("resnet32", "onnx", marks=pytest.mark.slow),
    pytest.param("resnet44", "zoo", marks=pytest.mark.slow),
    pytest.param("resnet44", "onnx", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path_factory.getbasetemp() / "networks-cache"))
    torch.set_num_threads(1)


def hawqc(*arguments: object) -> Any:
    result = CliRunner().invoke(make_app(), [str(a) for a in arguments])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def onnx_spec(case: Case, original: Path, data: Path, folder: Path) -> Path:
    """The example with its network as PyTorch exports it."""
    net = case.module()
    state = torch.load(data / "weights" / f"{case.weights}.pt", weights_only=True)
    net.load_state_dict(dict(case.rename(state)))
    path = export(net, folder / "net.onnx", (3, case.size, case.size))
    lines = original.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.strip().startswith("weights ")]
    text = "\n".join(
        f'  source  = onnx("{path}")' if line.strip().startswith("source") else line
        for line in kept
    )
    spec = folder / original.name
    spec.write_text(text + "\n", encoding="utf-8")
    return spec


def example(repository: Path, name: str, folder: Path) -> Path:
    """A copy of a shipped spec: its lock is kept beside it."""
    return Path(shutil.copy(repository / "specs" / "examples" / f"{name}.hawq", folder))


@pytest.mark.parametrize(("name", "route"), ROUTES)
def test_eight_bits_keep_the_accuracy_and_every_bit_is_verified(
    repository: Path, data_dir: Path, tmp_path: Path, name: str, route: str
) -> None:
    case = CASES[name]
    spec = example(repository, case.spec, tmp_path)
    if route == "onnx":
        spec = onnx_spec(case, spec, data_dir, tmp_path)
    setting = f"data={data_dir}"
    out = tmp_path / "out"
    built = hawqc("build", spec, "--set", setting, "--out", out, "--format", "json")["builds"][0]
    verdict = hawqc("verify", built["dir"], "--format", "json")
    evaluated = built["evaluation"]
    if case.data is not None:
        other = data_dir / case.data
        evaluated = hawqc("eval", built["dir"], "--data", other, "--format", "json")
    drop = 100 * (evaluated["fp32_accuracy"] - evaluated["accuracy"])
    assert verdict["bit_exact"]
    assert verdict["integer_only"]
    assert verdict["overflow_free"]
    assert drop <= case.largest_drop


def test_mixed_precision_meets_its_budget_exactly_as_proven(
    repository: Path, data_dir: Path, tmp_path: Path
) -> None:
    spec = example(repository, "cifar_resnet20_mixed", tmp_path)
    out = tmp_path / "out"
    arguments = ("--set", f"data={data_dir}", "--out", out, "--format", "json")
    plan = hawqc("build", spec, *arguments)["builds"][0]["plan"]
    eight_bits = sum(layer["params"] for layer in plan["layers"])
    assert plan["status"] == "optimal"
    assert plan["metrics"]["size_bytes"] <= 0.65 * eight_bits
    assert {layer["precision"] for layer in plan["layers"]} == {"w4a4", "w8a8"}
