from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hawqlang.diagnostics import HawqError
from hawqlang.stages.import_model import import_structure
from tests.support.imports import (
    image,
    imported,
    only,
    randomise,
    refusals,
    run_graph,
    vector,
    zoo_model,
)
from tests.support.networks import (
    Basic,
    Bottleneck,
    CifarResNet,
    MobileNetV1,
    MobileNetV2,
    ResNet,
    SqueezeNet,
)

ROOT = Path(__file__).resolve().parents[4]

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, dict[str, Fraction | str | bool]]] = {
    "resnet18": (lambda: ResNet(Basic, (2, 2, 2, 2), 7), 40, {"classes": Fraction(7)}),
    "resnet34": (lambda: ResNet(Basic, (3, 4, 6, 3), 7), 40, {"classes": Fraction(7)}),
    "resnet50": (lambda: ResNet(Bottleneck, (3, 4, 6, 3), 7), 40, {"classes": Fraction(7)}),
    "squeezenet1_0": (lambda: SqueezeNet("1_0", 7), 49, {"classes": Fraction(7)}),
    "squeezenet1_1": (lambda: SqueezeNet("1_1", 7), 50, {"classes": Fraction(7)}),
    "mobilenet_v1": (
        lambda: MobileNetV1(0.25, 7),
        64,
        {"width": Fraction("0.25"), "classes": Fraction(7)},
    ),
    "mobilenet_v2": (lambda: MobileNetV2(7), 40, {"classes": Fraction(7)}),
    "cifar_resnet20": (lambda: CifarResNet(20), 16, {}),
    "cifar_resnet32": (lambda: CifarResNet(32), 16, {}),
    "cifar_resnet44": (lambda: CifarResNet(44, 3), 16, {"classes": Fraction(3)}),
    "cifar_resnet56": (lambda: CifarResNet(56), 16, {}),
    "cifar_resnet110": (lambda: CifarResNet(110), 16, {}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_zoo_network_computes_what_the_public_definition_does(name: str, tmp_path: Path) -> None:
    make, size, arguments = NETWORKS[name]
    net = randomise(make())
    torch.save(net.state_dict(), tmp_path / "w.pt")
    graph, store = imported(zoo_model(name, image(size, size), arguments, tmp_path / "w.pt"))
    x = np.random.default_rng(1).standard_normal((2, 3, size, size), dtype=np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(x)).numpy()
    scale = float(np.abs(expected).max())
    assert np.isfinite(scale)
    assert scale > 1e-3
    np.testing.assert_allclose(run_graph(graph, store, x), expected, atol=2e-5 * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_carry_the_module_paths_of_the_state_dict(name: str) -> None:
    make, size, arguments = NETWORKS[name]
    graph = import_structure(zoo_model(name, image(size, size), arguments))
    layers = {n.name for n in graph.nodes if n.op in ("conv2d", "linear")}
    state = make().state_dict()
    modules = {key.removesuffix(".weight") for key, value in state.items() if value.ndim > 1}
    assert len(layers) == len(modules)
    if not name.startswith("squeezenet"):
        assert layers == modules


def test_structure_needs_no_weights_and_equals_the_full_import(tmp_path: Path) -> None:
    net = randomise(CifarResNet(20))
    torch.save(net.state_dict(), tmp_path / "w.pt")
    model = zoo_model("cifar_resnet20", image(32, 32), None, tmp_path / "w.pt")
    whole, _ = imported(model)
    bare = import_structure(model)
    assert bare.nodes == whole.nodes
    assert bare.values == whole.values
    assert [(p.name, p.shape) for p in bare.parameters] == [
        (p.name, p.shape) for p in whole.parameters
    ]
    assert all(p.ref is None for p in bare.parameters)
    assert all(p.ref is not None and p.ref.dtype == "float32" for p in whole.parameters)


def test_squeezenet_takes_both_spellings_of_its_tensors(tmp_path: Path) -> None:
    state = randomise(SqueezeNet("1_1", 5)).state_dict()
    torch.save(state, tmp_path / "torchvision.pt")
    places = {"features.0": "conv1", "classifier.1": "conv10"}
    places |= {
        f"features.{i}": f"fire{n}"
        for n, i in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)
    }
    renamed = {
        key.replace(old, new).replace(".squeeze.", ".squeeze1x1."): value
        for key, value in state.items()
        for old, new in places.items()
        if key.startswith(f"{old}.")
    }
    assert len(renamed) == len(state)
    torch.save(renamed, tmp_path / "caffe.pt")
    graphs = [
        imported(
            zoo_model("squeezenet1_1", image(64, 64), {"classes": Fraction(5)}, tmp_path / name)
        )[0]
        for name in ("torchvision.pt", "caffe.pt")
    ]
    assert graphs[0] == graphs[1]


def test_odd_sizes_are_padded_as_tensorflow_does(tmp_path: Path) -> None:
    graph = import_structure(zoo_model("mobilenet_v1", image(33, 32), {"width": Fraction(1, 4)}))
    conv1 = next(n for n in graph.nodes if n.name == "conv1")
    assert conv1.op == "conv2d"
    assert conv1.padding == (1, 0, 1, 1)
    assert graph.shape("conv1") == (8, 17, 16)


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(HawqError) as caught:
        import_structure(zoo_model("resnet81", image(32, 32)))
    found = only(caught.value)
    assert found.code == "HQ310"
    assert found.help is not None
    assert "'resnet18'" in found.help


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet18", {"clases": Fraction(5)}, "has no argument 'clases'"),
        ("resnet18", {"classes": "ten"}, "'classes' of zoo network 'resnet18' is a number"),
        ("resnet18", {"classes": True}, "'classes' of zoo network 'resnet18' is a number"),
        ("resnet18", {"classes": Fraction(5, 2)}, "is a whole number"),
        ("resnet18", {"classes": Fraction(0)}, "is from 1 to"),
        ("mobilenet_v2", {"width": Fraction(50)}, "is from 0.0625 to 4"),
        ("cifar_resnet20", {"width": Fraction(1)}, "has no argument 'width'"),
    ],
)
def test_argument_faults_are_reported(
    name: str, arguments: dict[str, Fraction | str | bool], message: str
) -> None:
    with pytest.raises(HawqError) as caught:
        import_structure(zoo_model(name, image(64, 64), arguments))
    (line,) = refusals(caught.value)
    assert line.startswith("HQ311")
    assert message in line


def test_every_wrong_argument_is_reported_at_once() -> None:
    with pytest.raises(HawqError) as caught:
        import_structure(zoo_model("resnet18", image(64, 64), {"a": Fraction(1), "b": "x"}))
    assert len(caught.value.diagnostics) == 2


def test_input_that_vanishes_is_an_error_at_the_input() -> None:
    with pytest.raises(HawqError) as caught:
        import_structure(zoo_model("squeezenet1_0", image(5, 5)))
    found = only(caught.value)
    assert (found.code, found.span and found.span.line) == ("HQ312", 5)


def test_vector_input_is_refused_by_a_convolutional_network() -> None:
    with pytest.raises(HawqError, match="HQ312"):
        import_structure(zoo_model("resnet18", vector(12)))


def test_zoo_network_without_weights_cannot_be_imported_whole() -> None:
    with pytest.raises(HawqError, match="HQ314"):
        imported(zoo_model("resnet18", image(64, 64)))


def test_gray_images_change_the_first_layer_only() -> None:
    graph = import_structure(zoo_model("cifar_resnet20", image(28, 28, 1)))
    shapes = {p.name: p.shape for p in graph.parameters}
    assert shapes["conv1.weight"] == (16, 1, 3, 3)
    assert shapes["layer1.0.conv1.weight"] == (16, 16, 3, 3)


def test_structure_is_imported_without_torch_or_numpy() -> None:
    code = """
import sys
from fractions import Fraction
from hawqlang.base import NOWHERE
from hawqlang.ir.spec import ImageInput, Model, ZooSource
from hawqlang.stages.import_model import import_structure
from hawqlang.stages.import_model.layer_table import layer_table
numbers = (Fraction(0),) * 3
kind = ImageInput(height=64, width=64, mean=numbers, std=numbers)
source = ZooSource(name="resnet18")
model = Model(name="n", source=source, weights=None, input=kind, span=NOWHERE,
              source_span=NOWHERE, input_span=None)
assert len(layer_table(import_structure(model)).layers) == 21
print(sorted({"torch", "tvm", "onnx", "numpy"} & set(sys.modules)))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"
