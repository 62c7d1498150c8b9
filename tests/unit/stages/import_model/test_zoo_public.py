"""Public networks of the zoo: their tensors are those of the usual state_dicts, and they compute the same."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hawqlang.ir.spec import ZooSource
from hawqlang.stages.import_model import import_structure, zoo
from hawqlang.stages.import_model.recipes import stored_in
from hawqlang.stages.import_model.zoo.densenet import published_spelling
from tests.support.imports import image, imported, randomise, run_graph, zoo_model
from tests.support.networks import Basic, Bottleneck, MobileNetV2, ResNet, SqueezeNet
from tests.support.public_networks import VGG, AlexNet, DenseNet, GoogLeNet, MnasNet, wide

A = "64 M 128 M 256 256 M 512 512 M 512 512 M"
B = "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"
D = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
E = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"
R50, R101, R152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)

PUBLISHED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: ResNet(Basic, (2, 2, 2, 2)), 11_689_512),
    "resnet34": (lambda: ResNet(Basic, R50), 21_797_672),
    "resnet50": (lambda: ResNet(Bottleneck, R50), 25_557_032),
    "resnet101": (lambda: ResNet(Bottleneck, R101), 44_549_160),
    "resnet152": (lambda: ResNet(Bottleneck, R152), 60_192_808),
    "wide_resnet50_2": (lambda: ResNet(wide(2, 1), R50), 68_883_240),
    "wide_resnet101_2": (lambda: ResNet(wide(2, 1), R101), 126_886_696),
    "resnext50_32x4d": (lambda: ResNet(wide(2, 32), R50), 25_028_904),
    "resnext101_32x8d": (lambda: ResNet(wide(4, 32), R101), 88_791_336),
    "resnext101_64x4d": (lambda: ResNet(wide(4, 64), R101), 83_455_272),
    "googlenet": (GoogLeNet, 6_624_904),
    "vgg11": (lambda: VGG(A, norm=False), 132_863_336),
    "vgg11_bn": (lambda: VGG(A, norm=True), 132_868_840),
    "vgg13": (lambda: VGG(B, norm=False), 133_047_848),
    "vgg13_bn": (lambda: VGG(B, norm=True), 133_053_736),
    "vgg16": (lambda: VGG(D, norm=False), 138_357_544),
    "vgg16_bn": (lambda: VGG(D, norm=True), 138_365_992),
    "vgg19": (lambda: VGG(E, norm=False), 143_667_240),
    "vgg19_bn": (lambda: VGG(E, norm=True), 143_678_248),
    "alexnet": (AlexNet, 61_100_840),
    "densenet121": (lambda: DenseNet((6, 12, 24, 16)), 7_978_856),
    "densenet161": (lambda: DenseNet((6, 12, 36, 24), 48, 96), 28_681_000),
    "densenet169": (lambda: DenseNet((6, 12, 32, 32)), 14_149_480),
    "densenet201": (lambda: DenseNet((6, 12, 48, 32)), 20_013_928),
    "mnasnet0_5": (lambda: MnasNet((16, 8, 16, 24, 40, 48, 96, 160)), 2_218_512),
    "mnasnet0_75": (lambda: MnasNet((24, 16, 24, 32, 64, 72, 144, 240)), 3_170_208),
    "mnasnet1_0": (lambda: MnasNet((32, 16, 24, 40, 80, 96, 192, 320)), 4_383_312),
    "mnasnet1_3": (lambda: MnasNet((40, 24, 32, 56, 104, 128, 248, 416)), 6_282_256),
    "squeezenet1_0": (lambda: SqueezeNet("1_0"), 1_248_424),
    "squeezenet1_1": (lambda: SqueezeNet("1_1"), 1_235_496),
    "mobilenet_v2": (lambda: MobileNetV2(1000), 3_504_872),
}
"""Networks under their public names, with the published number of parameters."""


def tensors_of(name: str) -> dict[str, tuple[int, ...]]:
    """The tensors that a zoo network asks a weight file for, as such files spell them."""
    model = zoo_model(name, image(224, 224))
    assert isinstance(model.source, ZooSource)
    draft = zoo.build(model, model.source)
    spelled = zoo.ZOO[name].spellings[-1] if name.startswith("squeezenet") else str
    return {spelled(one.key): one.shape for one in stored_in(draft.parameters.values())}


@pytest.mark.parametrize("name", PUBLISHED)
def test_tensors_are_those_of_the_public_state_dict(name: str) -> None:
    make, count = PUBLISHED[name]
    with torch.device("meta"):
        net = make()
    state = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    found = tensors_of(name)
    assert found == {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert sum(prod(shape) for key, shape in found.items() if ".running_" not in key) == count


def test_every_network_for_imagenet_is_compared() -> None:
    assert {n for n in zoo.ZOO if not n.startswith(("cifar_", "mobilenet_v1"))} <= set(PUBLISHED)


SMALL: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "googlenet": (lambda: GoogLeNet(7), 65),
    "densenet121": (lambda: DenseNet((6, 12, 24, 16), classes=7), 32),
    "mnasnet0_5": (lambda: MnasNet((16, 8, 16, 24, 40, 48, 96, 160), 7), 33),
}


@pytest.mark.parametrize("name", SMALL)
def test_network_computes_what_the_public_definition_does(name: str, tmp_path: Path) -> None:
    make, size = SMALL[name]
    net = randomise(make())
    state = net.state_dict()
    if name == "googlenet":
        state |= {"aux1.fc1.weight": torch.zeros(3, 3), "aux2.conv.bn.bias": torch.zeros(3)}
    if name == "densenet121":
        state = {published_spelling(key): value for key, value in state.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "w.pt")
    model = zoo_model(name, image(size, size), {"classes": Fraction(7)}, tmp_path / "w.pt")
    graph, store = imported(model)
    x = np.random.default_rng(1).standard_normal((2, 3, size, size), dtype=np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(x)).numpy()
    scale = float(np.abs(expected).max())
    assert scale > 1e-3
    np.testing.assert_allclose(run_graph(graph, store, x), expected, atol=2e-5 * scale)


@pytest.mark.parametrize(("side", "pools"), [(224, 0), (448, 1), (288, 49)])
def test_adaptive_pooling_of_vgg_takes_windows_that_differ_one_by_one(
    side: int, pools: int
) -> None:
    graph = import_structure(zoo_model("vgg11", image(side, side)))
    found = [node for node in graph.nodes if node.op == "avg_pool2d"]
    assert len(found) == pools  # at 224 the map is 7x7 already
