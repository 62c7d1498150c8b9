"""One network through every front end is one network: the same names, and the same integer program."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hawqlang.cache import TensorStore
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import Model
from hawqlang.stages.import_model import import_model, import_structure
from tests.support.exports import pt2_model, save_dynamo, save_pt2
from tests.support.imports import export, image, onnx_model, randomise, zoo_model
from tests.support.networks import Basic, ResNet

SHAPE = (3, 32, 32)
IMAGE = image(32, 32)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return randomise(ResNet(Basic, (2, 2, 2, 2), 5))


@pytest.fixture(scope="module")
def routes(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """The network as each front end reads it, batch norms in place; the zoo's last."""
    pytest.importorskip("onnxscript", reason="the newer ONNX exporter needs it")
    folder = tmp_path_factory.mktemp("routes")
    torch.save(net.state_dict(), folder / "w.pt")
    return {
        "old": onnx_model(export(net, folder / "old.onnx", SHAPE, preserve=True), IMAGE),
        "new": onnx_model(save_dynamo(net, folder / "new.onnx", SHAPE, optimize=False), IMAGE),
        "pt2": pt2_model(save_pt2(net, folder / "net.pt2", SHAPE), IMAGE),
        "zoo": zoo_model("resnet18", IMAGE, {"classes": Fraction(5)}, folder / "w.pt"),
    }


@pytest.fixture(scope="module")
def graphs(routes: dict[str, Model]) -> dict[str, Graph]:
    """Their graphs, with the parameters' digests."""
    return {route: import_model(model, TensorStore()) for route, model in routes.items()}


@pytest.mark.parametrize("route", ["new", "pt2"])
def test_exported_networks_are_one_graph_to_the_last_bit(
    route: str, graphs: dict[str, Graph]
) -> None:
    assert graphs[route] == graphs["old"]


def test_the_zoo_differs_in_names_of_what_has_no_weights_alone(graphs: dict[str, Graph]) -> None:
    zoo, other = graphs["zoo"], graphs["old"]
    layers = [(n.op, n.name) for n in zoo.nodes if n.op in ("conv2d", "linear")]
    assert layers == [(n.op, n.name) for n in other.nodes if n.op in ("conv2d", "linear")]
    names = dict(zip((v.name for v in zoo.values), (v.name for v in other.values), strict=True))
    text = zoo.model_dump_json()
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(f'"{old}"', f'"{names[old]}"')
    assert Graph.model_validate_json(text) == other.replace(notes=zoo.notes)


def test_default_exports_have_the_same_names(net: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the newer ONNX exporter needs it")
    old = import_structure(onnx_model(export(net, tmp_path / "old.onnx", SHAPE), IMAGE))
    new = import_structure(onnx_model(save_dynamo(net, tmp_path / "new.onnx", SHAPE), IMAGE))
    assert old.nodes == new.nodes
    assert old.values == new.values


class Functional(nn.Module):
    """Calls what has no weights as functions, several times in one module, and a module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        y = self.act(self.b(x))
        x = torch.relu(x + y) + self.act(y)
        return self.fc(x.mean((2, 3)))


def test_functions_and_modules_called_twice_go_by_one_name(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the newer ONNX exporter needs it")
    net = randomise(Functional())
    made: list[Callable[[], Model]] = [
        lambda: onnx_model(export(net, tmp_path / "old.onnx", SHAPE), IMAGE),
        lambda: onnx_model(save_dynamo(net, tmp_path / "new.onnx", SHAPE), IMAGE),
        lambda: pt2_model(save_pt2(net, tmp_path / "net.pt2", SHAPE), IMAGE),
    ]
    old, new, pt2 = ([n.name for n in import_structure(make()).nodes] for make in made)
    assert "act_1" in old
    assert "/Relu_1" in old
    assert new == old
    assert pt2 == old


def test_external_data_of_the_newer_exporter_is_read(net: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the newer ONNX exporter needs it")
    save_dynamo(net, tmp_path / "net.onnx", SHAPE, optimize=False, external=True)
    assert (tmp_path / "net.onnx.data").is_file()
    store = TensorStore()
    graph = import_model(onnx_model(tmp_path / "net.onnx", IMAGE), store)
    weight = next(p for p in graph.parameters if p.name == "fc.weight")
    assert weight.ref is not None
    np.testing.assert_array_equal(
        store.get(weight.ref), net.get_parameter("fc.weight").detach().numpy()
    )
