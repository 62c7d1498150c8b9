"""Networks straight from Python: ``hawqlang.compile``, and specs that name code under ``--trust``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import hawqlang
from hawqlang.cli.app import make_app
from hawqlang.diagnostics import HawqError
from hawqlang.interpret import logits
from hawqlang.stages.bundle import read_reference

Hawqc = Callable[..., Any]

CODE = """\
import numpy as np
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def samples(seed, count=32):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8), rng.integers(0, 4, count)
"""

SPEC = """\
hawq 1
model net {
  source  = python("nets:Net")
  weights = file("net.pt")
  input   = image(8, 8, channels = 1)
}
dataset made {
  calibration = python("nets:samples", seed = 1)
  evaluation  = python("nets:samples", seed = 2)
}
target cpu { device = cpu.x86_64 }
quantize net on cpu with made {
  precision = [w4a8, w8a8]
  subject to { fits: size <= 90 B }
}
"""


class Net(nn.Module):
    """The network of the code above."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def hawqc(tmp_path_factory: pytest.TempPathFactory) -> Hawqc:
    patch = pytest.MonkeyPatch()
    patch.setenv("HAWQ_CACHE", str(tmp_path_factory.mktemp("cache")))

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(make_app(), [str(a) for a in arguments])

    yield run  # pyright: ignore[reportReturnType]
    patch.undo()


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(4)
    return Net().train()


@pytest.fixture(scope="module")
def project(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "nets.py").write_text(CODE, encoding="utf-8")
    (folder / "net.hawq").write_text(SPEC, encoding="utf-8")
    torch.save(net.state_dict(), folder / "net.pt")
    return folder


@pytest.fixture(scope="module")
def built(hawqc: Hawqc, project: Path) -> Path:
    done = hawqc("build", project / "net.hawq", "--trust", "--out", project / "build")
    assert done.exit_code == 0, done.output
    return project / "build" / "net"


def test_a_spec_that_names_code_builds_under_trust(hawqc: Hawqc, built: Path) -> None:
    verdict = json.loads(hawqc("verify", built, "--format", "json").stdout)
    assert verdict["bit_exact"]
    assert (built / "calibration.npz").is_file()


def test_without_trust_the_spec_is_refused_and_says_what_it_needs(
    hawqc: Hawqc, project: Path
) -> None:
    done = hawqc("check", project / "net.hawq")
    assert done.exit_code == 1
    assert "HQ231" in done.stdout
    assert "--trust" in done.stdout


def test_check_under_trust_runs_nothing(hawqc: Hawqc, project: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("raise AssertionError\n", encoding="utf-8")
    (tmp_path / "net.hawq").write_text(SPEC, encoding="utf-8")
    (tmp_path / "net.pt").touch()
    assert hawqc("check", tmp_path / "net.hawq", "--trust").exit_code == 0


def test_the_artifacts_own_code_is_never_run(hawqc: Hawqc, built: Path, project: Path) -> None:
    done = hawqc("eval", built)
    assert done.exit_code == 1
    assert "HQ400" in done.stderr
    assert "--data" in done.stderr


def test_changed_code_is_a_difference_to_the_lock(hawqc: Hawqc, built: Path, project: Path) -> None:
    del built
    file = project / "net.hawq"
    assert hawqc("build", file, "--trust", "--locked", "--out", project / "build").exit_code == 0
    code = project / "nets.py"
    before = code.read_text(encoding="utf-8")
    code.write_text(before + "\nCHANGED = True\n", encoding="utf-8")
    done = hawqc("build", file, "--trust", "--locked", "--out", project / "build")
    code.write_text(before, encoding="utf-8")
    assert done.exit_code == 1
    assert "nets.py" in done.stderr


def test_compile_gives_a_callable_artifact_of_the_same_program(
    hawqc: Hawqc, built: Path, project: Path, net: nn.Module
) -> None:
    artifact = hawqlang.compile(
        net,
        torch.zeros(1, 1, 8, 8),
        project / "net.hawq",
        out=project / "other",
        trust=True,
    )
    assert net.training
    assert (built / "program.txt").read_text() == (artifact.folder / "program.txt").read_text()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    program, store = read_reference(artifact.folder)
    np.testing.assert_array_equal(artifact(pixels), logits(program, store, pixels))
    np.testing.assert_array_equal(artifact(torch.from_numpy(pixels)), artifact(pixels))
    assert (project / "other" / "net.pt2").is_file()


def test_diagnostics_of_the_front_door_are_those_of_the_tool(
    net: nn.Module, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(HawqError) as caught:
        hawqlang.compile(
            net, torch.zeros(1, 1, 9, 8), project / "net.hawq", out=tmp_path, trust=True
        )
    assert [d.code for d in caught.value.diagnostics] == ["HQ312"]
    (note,) = caught.value.__notes__
    assert "net.hawq:5:" in note
    assert "input   = image(8, 8, channels = 1)" in note
    with pytest.raises(HawqError) as caught:
        hawqlang.compile(
            net, torch.zeros(1, 3, 8, 8), project / "net.hawq", out=tmp_path, trust=True
        )
    assert [d.code for d in caught.value.diagnostics] == ["HQ344"]


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, hawqlang; print(sorted(set(sys.modules) & {'torch', 'numpy', 'pydantic', 'tvm'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
