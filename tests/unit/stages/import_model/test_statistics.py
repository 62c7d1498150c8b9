"""What batch norms remember of training data survives import, whether they are folded or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model import import_statistics
from tests.support.imports import export, image, imported, onnx_model, save_graph

X = torch.randn(32, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 + 1


class Net(nn.Module):
    """Two folded batch norms, and one that cannot be folded."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, bias=False)
        self.first_bn = nn.BatchNorm2d(4, momentum=None)
        self.alone_bn = nn.BatchNorm2d(4, momentum=None)
        self.last = nn.Linear(64, 5)
        self.last_bn = nn.BatchNorm1d(5, momentum=None)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first_bn(self.first(x))
        if self.scale != 1:
            y = y * self.scale
        y = self.alone_bn(torch.relu(y))
        return self.last_bn(self.last(torch.flatten(y, 1)))


def trained(net: Net) -> Net:
    """Give the batch norms the statistics of ``X`` and weights of their own."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for norm in (net.first_bn, net.alone_bn, net.last_bn):
            norm.weight.copy_(torch.randn(norm.weight.shape, generator=generator))
            norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator))
    net.train()
    with torch.no_grad():
        net(X)
    return net.eval()


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_statistics_are_those_of_the_values_on_the_training_data(
    tmp_path: Path, scale: float
) -> None:
    torch.manual_seed(0)
    path = export(trained(Net(scale)), tmp_path / "net.onnx", (3, 6, 6), preserve=True)
    model = onnx_model(path, image(6, 6))
    graph, store = imported(model)
    found = import_statistics(model)
    assert len(found) == 3
    with torch.inference_mode():
        kept = FloatModel(graph, store).run(X, keep=[row.value for row in found]).kept
    for row in found:
        x = kept[row.value].double()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(x, axes, correction=1)
        np.testing.assert_allclose(row.mean, mean.numpy(), atol=5e-3)
        np.testing.assert_allclose(row.deviation, variance.sqrt().numpy(), rtol=1e-2)


def test_an_exporter_that_folds_leaves_no_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = trained(Net())
    folded = nn.Sequential(net.first, net.first_bn, nn.Flatten(), nn.Linear(64, 3))
    model = onnx_model(export(folded, tmp_path / "net.onnx", (3, 6, 6)), image(6, 6))
    assert import_statistics(model) == ()


def test_multiplication_by_constants_is_no_batch_norm(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c"),
        helper.make_node("Mul", ["c", "k"], ["m"], name="m"),
        helper.make_node("Flatten", ["m"], ["y"], name="y"),
    ]
    constants = {
        "w": np.ones((2, 3, 6, 6), np.float32),
        "k": np.array([2.0, 3.0], np.float32).reshape(1, 2, 1, 1),
    }
    path = save_graph(tmp_path / "net.onnx", nodes, ["n", 3, 6, 6], constants)
    assert import_statistics(onnx_model(path, image(6, 6))) == ()
