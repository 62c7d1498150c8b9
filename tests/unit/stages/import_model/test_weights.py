from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import ZooSource
from tests.support.imports import image, imported, model_of, only, randomise, zoo_model
from tests.support.networks import CifarResNet

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(randomise(CifarResNet(20)).state_dict())


def load(path: Path, classes: int = 10) -> dict[str, Any]:
    """The parameters of a ResNet20 read from a file."""
    arguments = {"classes": Fraction(classes)}
    graph, store = imported(zoo_model("cifar_resnet20", image(32, 32), arguments, path))
    return {p.name: store.get(p.ref) for p in graph.parameters if p.ref is not None}


def refused(path: Path, sha256: str | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(HawqError) as caught:
        imported(model_of(ZooSource(name="cifar_resnet20"), image(32, 32), path, sha256))
    return caught.value.diagnostics


def test_every_form_of_a_state_dict_gives_the_same_weights(state: State, tmp_path: Path) -> None:
    forms: dict[str, Callable[[Path], object]] = {
        "plain.pt": lambda path: torch.save(state, path),
        "old.pth": lambda path: torch.save(state, path, _use_new_zipfile_serialization=False),
        "parallel.pt": lambda path: torch.save({f"module.{k}": v for k, v in state.items()}, path),
        "wrapped.pt": lambda path: torch.save({"state_dict": state, "epoch": 7}, path),
        "no_counters.pt": lambda path: torch.save(
            {k: v for k, v in state.items() if "num_batches" not in k}, path
        ),
        "double.pt": lambda path: torch.save(
            {k: v.double() if v.is_floating_point() else v for k, v in state.items()}, path
        ),
        "w.safetensors": lambda path: save_file(state, path),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, write in forms.items():
        write(tmp_path / name)
        found[name] = load(tmp_path / name)
    for name in forms:
        for key, value in found["plain.pt"].items():
            np.testing.assert_array_equal(found[name][key], value, err_msg=f"{name} {key}")


def test_half_precision_weights_are_widened(state: State, tmp_path: Path) -> None:
    half = {k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}
    torch.save(half, tmp_path / "w.pt")
    save_file(half, tmp_path / "w.safetensors")
    a, b = load(tmp_path / "w.pt"), load(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(a["linear.weight"], half["linear.weight"].float().numpy())
    np.testing.assert_array_equal(b["conv1.weight"], a["conv1.weight"])


def test_right_digest_is_accepted_and_a_wrong_one_refused(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pt")
    digest = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
    imported(model_of(ZooSource(name="cifar_resnet20"), image(32, 32), tmp_path / "w.pt", digest))
    (found,) = refused(tmp_path / "w.pt", "0" * 64)
    assert found.code == "HQ305"
    assert found.notes == (f"declared {'0' * 64}", f"found    {digest}")


def test_missing_and_unexpected_tensors_are_listed_both_ways(state: State, tmp_path: Path) -> None:
    renamed = {k.replace("layer1.", "stage1."): v for k, v in state.items()}
    torch.save(renamed, tmp_path / "w.pt")
    (found,) = refused(tmp_path / "w.pt")
    assert found.code == "HQ307"
    assert found.message == (
        "the weights do not fit the network: 30 of its 97 tensors missing, 30 unexpected"
    )
    missing, unexpected = found.notes
    assert missing.startswith("missing from the file: layer1.0.conv1.weight, layer1.0.bn1.weight,")
    assert missing.endswith("and 26 more")
    assert "stage1.0.conv1.weight" in unexpected


def test_a_wrong_shape_names_tensor_and_both_shapes(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(HawqError) as caught:
        load(tmp_path / "w.pt", classes=7)
    assert [d.message for d in caught.value.diagnostics] == [
        "'linear.weight' has shape 10x64, but the network needs 7x64",
        "'linear.bias' has shape 10, but the network needs 7",
    ]
    assert all("classes" in (d.help or "") for d in caught.value.diagnostics)


class Payload:
    """Runs a command when a careless reader unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("owned"),))


def test_a_file_that_would_run_code_is_refused_and_nothing_runs(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**state, "extra": Payload()}, tmp_path / "w.pt")
    (found,) = refused(tmp_path / "w.pt")
    assert found.code == "HQ304"
    torch.save(CifarResNet(20), tmp_path / "whole.pt")
    (found,) = refused(tmp_path / "whole.pt")
    assert found.code == "HQ304"
    assert not (tmp_path / "owned").exists()


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(CifarResNet(20)), tmp_path / "w.pt")
    (found,) = refused(tmp_path / "w.pt")
    assert found.code in {"HQ303", "HQ304"}


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_files_that_are_no_weights(state: State, tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(state, whole)
    else:
        save_file(state, whole)
    content = whole.read_bytes()
    faulty = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "head": content[:40],
        "text": b"version https://git-lfs.github.com/spec/v1\n",
        "noise": np.random.default_rng(0).bytes(5000),
    }
    for name, data in faulty.items():
        path = tmp_path / f"{name}.{suffix}"
        path.write_bytes(data)
        (found,) = refused(path)
        assert found.code == "HQ303", name
        assert str(path) in found.message
    (tmp_path / f"folder.{suffix}").mkdir()
    (found,) = refused(tmp_path / f"folder.{suffix}")
    assert found.code == "HQ303"
    (found,) = refused(tmp_path / f"absent.{suffix}")
    assert found.code == "HQ301"


def test_other_contents_than_tensors_are_refused(tmp_path: Path) -> None:
    for content in ([torch.zeros(2)], {}, {"a": 1}, {1: torch.zeros(2)}, torch.zeros(3)):
        torch.save(content, tmp_path / "w.pt")
        (found,) = refused(tmp_path / "w.pt")
        assert found.code == "HQ303"


def test_integer_and_sparse_weights_are_refused(state: State, tmp_path: Path) -> None:
    torch.save({**state, "linear.weight": torch.ones(10, 64, dtype=torch.int8)}, tmp_path / "w.pt")
    found = only(HawqError(*refused(tmp_path / "w.pt")))
    assert found.code == "HQ309"
    assert "'linear.weight'" in found.message
    torch.save({**state, "linear.weight": state["linear.weight"].to_sparse()}, tmp_path / "w.pt")
    (found,) = refused(tmp_path / "w.pt")
    assert found.code == "HQ309"
    save_file(
        {**state, "linear.bias": torch.ones(10, dtype=torch.int64)}, tmp_path / "w.safetensors"
    )
    (found,) = refused(tmp_path / "w.safetensors")
    assert found.code == "HQ309"


def test_every_layer_with_bad_numbers_is_named(state: State, tmp_path: Path) -> None:
    bad = {k: v.clone() for k, v in state.items()}
    bad["conv1.weight"][0, 0, 0, 0] = float("nan")
    bad["layer2.0.bn1.running_var"][3] = -1
    torch.save(bad, tmp_path / "w.pt")
    messages = [d.message for d in refused(tmp_path / "w.pt")]
    folded = "layer 'layer2.0.conv1': folding batch norm 'layer2.0.bn1' gives 144 of 4608"
    assert messages == [
        "layer 'conv1': 'conv1.weight' holds 1 of 432 values that are NaN or infinite",
        f"{folded} values that are NaN or infinite",
    ]
