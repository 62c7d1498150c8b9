"""Archives of torch.export give the graphs of the ONNX route: same values, same names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hawqlang.stages.import_model import import_statistics, import_structure
from tests.support.exports import pt2_model, save_pt2
from tests.support.imports import export, image, imported, onnx_model, randomise, run_graph
from tests.support.networks import Basic, CifarResNet, MobileNetV2, ResNet, SqueezeNet

ROOT = Path(__file__).resolve().parents[4]

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "cifar": (lambda: CifarResNet(8), 16),
    "resnet": (lambda: ResNet(Basic, (1, 1, 1, 1), 7), 33),
    "squeezenet": (lambda: SqueezeNet("1_1", 7), 50),
    "mobilenet_v2": (lambda: MobileNetV2(7), 32),
}


@pytest.mark.parametrize(
    ("name", "decomposed"), [*((name, False) for name in NETWORKS), ("cifar", True)]
)
def test_archive_gives_the_graph_of_the_onnx_export(
    name: str, decomposed: bool, tmp_path: Path
) -> None:
    make, size = NETWORKS[name]
    net = randomise(make())
    path = save_pt2(net, tmp_path / "net.pt2", (3, size, size), decomposed=decomposed)
    graph, store = imported(pt2_model(path, image(size, size)))
    other = export(net, tmp_path / "net.onnx", (3, size, size), preserve=True)
    expected, expected_store = imported(onnx_model(other, image(size, size)))
    assert graph.nodes == expected.nodes
    assert graph.values == expected.values
    for found, wanted in zip(graph.parameters, expected.parameters, strict=True):
        assert found.ref is not None
        assert wanted.ref is not None
        np.testing.assert_array_equal(store.get(found.ref), expected_store.get(wanted.ref))
    x = np.random.default_rng(0).standard_normal((2, 3, size, size), dtype=np.float32)
    with torch.inference_mode():
        logits = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        run_graph(graph, store, x), logits, atol=2e-5 * float(np.abs(logits).max())
    )


class Everything(nn.Module):
    """One of each operator and form that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 8, 3, padding="same", dilation=2)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.depth = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
        self.six = nn.ReLU6(inplace=True)
        self.tanh = nn.Hardtanh(-0.5, 1.5)
        self.most = nn.MaxPool2d(2, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.adapt = nn.AdaptiveAvgPool2d(2)
        self.drop = nn.Dropout()
        self.hidden = nn.Linear(32, 12)
        self.head = nn.Linear(12, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.stem(x)))
        a, b = self.six(self.depth(y)).chunk(2, 1)
        y = torch.cat([b, a, self.tanh(b)], 1)[:, 2:10]
        y = nn.functional.pad(self.most(y), (1, 1, 0, 1)) * 0.5 + 0.25
        y = self.mean(y - 1.0) / 2.0
        y = self.adapt(y).flatten(1)
        y = self.hidden(self.drop(y)).clamp(min=-1.0)
        return self.head(y).reshape(x.shape[0], -1).log_softmax(1)


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_every_operator_that_is_read_computes_what_torch_does(
    decomposed: bool, dynamic: bool, tmp_path: Path
) -> None:
    net = randomise(Everything())
    path = save_pt2(net, tmp_path / "net.pt2", (4, 13, 11), decomposed=decomposed, dynamic=dynamic)
    graph, store = imported(pt2_model(path, image(13, 11, 4)))
    x = np.random.default_rng(3).standard_normal((2, 4, 13, 11), dtype=np.float32)
    with torch.inference_mode():
        logits = net(torch.from_numpy(x)).numpy()
    found = run_graph(graph, store, x)
    found -= np.log(np.exp(found).sum(1, keepdims=True))  # the softmax that is dropped
    np.testing.assert_allclose(found, logits, atol=1e-5)


def test_what_runs_again_is_numbered_as_the_onnx_exporter_does(tmp_path: Path) -> None:
    path = save_pt2(randomise(ResNet(Basic, (1, 1, 1, 1), 3)), tmp_path / "net.pt2", (3, 32, 32))
    names = [n.name for n in import_structure(pt2_model(path, image(32, 32))).nodes]
    assert names[:7] == [
        "conv1",
        "relu",
        "maxpool",
        "layer1.0.conv1",
        "layer1.0.relu",
        "layer1.0.conv2",
        "layer1.0",
    ]
    assert "layer1.0.relu_1" in names


class InPlace(nn.Module):
    """Overwrites a tensor that is read again under its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = y.relu_()
        return (y + z).mean((2, 3))


def test_a_tensor_overwritten_in_place_is_its_new_value_afterwards(tmp_path: Path) -> None:
    net = randomise(InPlace())
    graph, store = imported(pt2_model(save_pt2(net, tmp_path / "net.pt2", (3, 8, 8)), image(8, 8)))
    x = np.random.default_rng(3).standard_normal((2, 3, 8, 8), dtype=np.float32)
    with torch.inference_mode():
        logits = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run_graph(graph, store, x), logits, atol=1e-5)


def test_a_weight_file_replaces_the_weights_of_the_archive(tmp_path: Path) -> None:
    path = save_pt2(randomise(CifarResNet(8)), tmp_path / "net.pt2", (3, 16, 16))
    other = randomise(CifarResNet(8), seed=5)
    torch.save(other.state_dict(), tmp_path / "w.pt")
    graph, store = imported(pt2_model(path, image(16, 16), tmp_path / "w.pt"))
    x = np.random.default_rng(1).standard_normal((2, 3, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        expected = other(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        run_graph(graph, store, x), expected, atol=2e-5 * float(np.abs(expected).max())
    )


def test_half_precision_weights_are_read_exactly(tmp_path: Path) -> None:
    for kind in (torch.float16, torch.bfloat16):
        net = randomise(InPlace()).to(kind)
        program = torch.export.export(net, (torch.zeros(2, 3, 8, 8, dtype=kind),))
        torch.export.save(program, tmp_path / "net.pt2")
        graph, store = imported(pt2_model(tmp_path / "net.pt2", image(8, 8)))
        weight = next(p for p in graph.parameters if p.name == "conv.weight")
        assert weight.ref is not None
        expected = net.get_parameter("conv.weight").detach().float().numpy()
        np.testing.assert_array_equal(store.get(weight.ref), expected)


def test_batch_norms_of_an_archive_keep_their_statistics(tmp_path: Path) -> None:
    path = save_pt2(randomise(CifarResNet(8)), tmp_path / "net.pt2", (3, 16, 16))
    assert len(import_statistics(pt2_model(path, image(16, 16)))) == 7


def test_structure_is_read_without_torch_and_equals_that_of_the_import(tmp_path: Path) -> None:
    path = save_pt2(randomise(CifarResNet(8)), tmp_path / "net.pt2", (3, 16, 16))
    whole, _ = imported(pt2_model(path, image(16, 16)))
    bare = import_structure(pt2_model(path, image(16, 16)), batch=8)
    assert bare.nodes == whole.nodes
    assert bare.values == whole.values
    code = (
        "import sys; from fractions import Fraction as F\n"
        "from hawqlang.ir.spec import ImageInput, Model, Pt2Source\n"
        "from hawqlang.base import Span\n"
        "from hawqlang.stages.import_model import import_structure\n"
        "s = Span(file='n', line=1, column=1, end_line=1, end_column=2)\n"
        "i = ImageInput(height=16, width=16, channels=3, mean=(F(0),) * 3, std=(F(1),) * 3, scale=F(1))\n"
        f"source = Pt2Source(path={str(path)!r})\n"
        "m = Model(name='n', source=source, weights=None, input=i, span=s, source_span=s, input_span=s)\n"
        "print(len(import_structure(m).nodes), 'torch' in sys.modules, 'onnx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(len(whole.nodes)), "False", "False"]
