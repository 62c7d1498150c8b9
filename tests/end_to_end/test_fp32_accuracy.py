"""Public weights on real images: the float network classifies exactly as many as the reference did.

Each number is compared to the image, through the zoo and through an ONNX file that PyTorch exports.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

from hawqlang.ir.spec import ArraysData, Data, ImageInput, ImagesData, Model
from hawqlang.stages.data import open_samples
from hawqlang.stages.float_model import FloatModel, predict
from tests.support.imports import SPAN, Arguments, export, imported, onnx_model, zoo_model
from tests.support.networks import CifarResNet, MobileNetV1, SqueezeNet


@dataclass(frozen=True)
class Public:
    """A public network: how the spec and PyTorch say it."""

    zoo: str
    arguments: Arguments
    kind: ImageInput
    module: Callable[[], nn.Module]


def numbers(*texts: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(text) for text in texts)


CIFAR = ImageInput(
    height=32,
    width=32,
    mean=numbers("0.485", "0.456", "0.406"),
    std=numbers("0.229", "0.224", "0.225"),
)
CAFFE = ImageInput(
    height=227,
    width=227,
    mean=numbers("104", "117", "123"),
    std=numbers("1", "1", "1"),
    scale=Fraction(1),
    order="bgr",
)
TENSORFLOW = ImageInput(
    height=224,
    width=224,
    mean=numbers("1", "1", "1"),
    std=numbers("1", "1", "1"),
    scale=Fraction(2, 255),
)

NETWORKS = {
    **{
        f"cifar10_resnet{depth}": Public(
            f"cifar_resnet{depth}", {}, CIFAR, lambda depth=depth: CifarResNet(depth)
        )
        for depth in (20, 32, 44)
    },
    "imagenet_squeezenet1_1": Public("squeezenet1_1", {}, CAFFE, lambda: SqueezeNet("1_1")),
    "imagenet_mobilenet_v1_0.25_224": Public(
        "mobilenet_v1", {"width": Fraction(1, 4)}, TENSORFLOW, lambda: MobileNetV1(0.25)
    ),
}

FAST = [
    ("cifar10_resnet20", "test_lossless_dev517"),
    ("cifar10_resnet32", "test_lossless_dev517"),
    ("cifar10_resnet44", "test_lossless_dev517"),
    ("imagenet_mobilenet_v1_0.25_224", "imagenet_val/calib"),
]
SLOW = [
    ("cifar10_resnet20", "test_jpeg_dev4500"),
    ("cifar10_resnet20", "train_calib2000"),
    ("cifar10_resnet32", "train_calib2000"),
    ("cifar10_resnet44", "train_calib2000"),
    ("imagenet_mobilenet_v1_0.25_224", "imagenet_val/eval"),
    ("imagenet_squeezenet1_1", "imagenet_val/calib"),
    ("imagenet_squeezenet1_1", "imagenet_val/eval"),
]


def data_of(folder: Path, split: str, kind: ImageInput) -> Data:
    if not split.startswith("imagenet"):
        path = folder / "cifar10" / f"{split}.npz"
        return ArraysData(path=str(path), images="images", labels="labels", count=None, span=SPAN)
    return ImagesData(
        folder=str(folder / split),
        labels=str(folder / f"{split}.csv"),
        resize=None,
        crop=kind.height,
        count=None,
        span=SPAN,
    )


def correct(model: Model, network: Public, folder: Path, split: str) -> tuple[int, int]:
    """How many samples of a split a network gets right, of how many."""
    graph, store = imported(model)
    samples = open_samples(data_of(folder, split, network.kind), network.kind, classes=1000)
    assert samples.labels is not None
    found = predict(FloatModel(graph, store), samples, network.kind, batch=64)
    return int((found == samples.labels).sum()), len(samples)


def expected(folder: Path, name: str, split: str) -> tuple[int, int]:
    table = json.loads((folder / "EXPECTED_FP32.json").read_text())
    return tuple(table[name][split][:2])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def check_zoo(folder: Path, name: str, split: str) -> None:
    network = NETWORKS[name]
    weights = folder / "weights" / f"{name}.pt"
    model = zoo_model(network.zoo, network.kind, network.arguments, weights)
    assert correct(model, network, folder, split) == expected(folder, name, split)


@pytest.mark.parametrize(("name", "split"), FAST)
def test_zoo_network_gets_as_many_right_as_the_reference(
    data_dir: Path, name: str, split: str
) -> None:
    check_zoo(data_dir, name, split)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "split"), SLOW)
def test_zoo_network_gets_as_many_right_on_the_larger_sets(
    data_dir: Path, name: str, split: str
) -> None:
    check_zoo(data_dir, name, split)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("cifar10_resnet20", "test_lossless_dev517"),
        ("imagenet_mobilenet_v1_0.25_224", "imagenet_val/calib"),
    ],
)
def test_exported_file_gets_as_many_right_as_the_reference(
    data_dir: Path, tmp_path: Path, name: str, split: str
) -> None:
    network = NETWORKS[name]
    net = network.module()
    state = torch.load(data_dir / "weights" / f"{name}.pt", weights_only=True)
    net.load_state_dict(state)
    size = (3, network.kind.height, network.kind.width)
    path = export(net, tmp_path / "net.onnx", size)
    found = correct(onnx_model(path, network.kind), network, data_dir, split)
    assert found == expected(data_dir, name, split)
