"""Files that PyTorch exports give the graphs of the zoo, and random networks what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from torch import nn

from hawqlang.ir.graph import Clamp, Conv2d, Linear
from hawqlang.stages.import_model import import_structure
from tests.support.imports import (
    Arguments,
    Array,
    export,
    image,
    imported,
    onnx_model,
    randomise,
    run_graph,
    run_onnxruntime,
    save_graph,
    zoo_model,
)
from tests.support.networks import (
    Basic,
    CifarResNet,
    MobileNetV1,
    MobileNetV2,
    ResNet,
    SqueezeNet,
)

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, str, Arguments]] = {
    "cifar": (lambda: CifarResNet(20), 32, "cifar_resnet20", {}),
    "resnet18": (lambda: ResNet(Basic, (2, 2, 2, 2)), 64, "resnet18", {}),
    "squeezenet": (lambda: SqueezeNet("1_1"), 64, "squeezenet1_1", {}),
    "mobilenet_v1": (lambda: MobileNetV1(1), 64, "mobilenet_v1", {}),
    "mobilenet_v2": (MobileNetV2, 64, "mobilenet_v2", {}),
}


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", NETWORKS)
def test_exported_network_is_that_of_the_zoo(name: str, opset: int, tmp_path: Path) -> None:
    make, size, zoo, arguments = NETWORKS[name]
    path = export(randomise(make()), tmp_path / "net.onnx", (3, size, size), opset=opset)
    graph, store = imported(onnx_model(path, image(size, size)))
    expected = import_structure(zoo_model(zoo, image(size, size), arguments))
    assert [n.op for n in graph.nodes] == [n.op for n in expected.nodes]
    assert [v.shape for v in graph.values] == [v.shape for v in expected.values]
    found = [n.name for n in graph.nodes if isinstance(n, Conv2d | Linear)]
    if zoo != "squeezenet1_1":
        assert found == [n.name for n in expected.nodes if isinstance(n, Conv2d | Linear)]
    else:
        assert found[:3] == ["features.0", "features.3.squeeze", "features.3.expand1x1"]
    x = np.random.default_rng(0).standard_normal((2, 3, size, size), dtype=np.float32)
    logits = run_onnxruntime(path, x)
    np.testing.assert_allclose(
        run_graph(graph, store, x), logits, atol=1e-5 * float(np.abs(logits).max())
    )


def test_structure_of_a_file_is_that_of_its_full_import(tmp_path: Path) -> None:
    path = export(randomise(CifarResNet(20)), tmp_path / "net.onnx", (3, 32, 32))
    bare = import_structure(onnx_model(path, image(32, 32)), batch=8)
    whole, _ = imported(onnx_model(path, image(32, 32)))
    assert bare.nodes == whole.nodes
    assert bare.values == whole.values


def test_functional_operators_share_their_modules_scope(tmp_path: Path) -> None:
    path = export(randomise(CifarResNet(20)), tmp_path / "net.onnx", (3, 32, 32))
    graph = import_structure(onnx_model(path, image(32, 32)))
    names = [n.name for n in graph.nodes]
    assert "layer2.0.Slice_1" in names
    assert "layer2.0.Pad" in names
    assert "layer2.0.Add" in names
    assert len(set(names)) == len(names)
    assert all(n.name == n.output for n in graph.nodes)


def test_relu6_of_any_exporter_is_one_clamp(tmp_path: Path) -> None:
    path = export(randomise(MobileNetV2()), tmp_path / "net.onnx", (3, 32, 32))
    graph = import_structure(onnx_model(path, image(32, 32)))
    bounds = {(n.low, n.high) for n in graph.nodes if isinstance(n, Clamp)}
    assert bounds == {(0.0, 6.0)}


# ---- random networks -----------------------------------------------------------------------------------------------


class Random:
    """Writes a random network out of the operators the importer knows."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.maps: list[tuple[str, int, int, int]] = [("x", 4, 12, 10)]

    def pick(self, *choices: int) -> int:
        return int(self.rng.choice(choices))

    def source(self) -> tuple[str, int, int, int]:
        recent = self.maps[-4:]
        return recent[int(self.rng.integers(len(recent)))]

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.rng.standard_normal(shape, dtype=np.float32) * np.float32(0.4)
        return name

    def emit(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"/n{name}/{op}", **attributes))
        return name

    def grow(self) -> None:
        """Add one operator."""
        x, c, h, w = self.source()
        kind = self.pick(*range(9))
        if kind == 0:
            out, k, s = self.pick(3, 6, 8), self.pick(1, 3), self.pick(1, 1, 2)
            groups = c if out % c == 0 and self.pick(0, 1) else 1
            weight = self.constant(out, c // groups, k, k)
            bias = [self.constant(out)] if self.pick(0, 1) else []
            y = self.emit(
                "Conv", [x, weight, *bias], pads=[k // 2] * 4, strides=[s, s], group=groups
            )
            self.maps.append((y, out, -(-h // s), -(-w // s)))
        elif kind == 1:
            stats = [self.constant(c) for _ in range(4)]
            self.constants[stats[3]] = np.abs(self.constants[stats[3]]) + np.float32(0.3)
            self.maps.append((self.emit("BatchNormalization", [x, *stats]), c, h, w))
        elif kind == 2:
            self.maps.append((self.emit("Relu", [x]), c, h, w))
        elif kind == 3:
            low, high = self.constant(), self.constant()
            self.constants[low] = np.array(-0.5, dtype=np.float32)
            self.constants[high] = np.array(1.5, dtype=np.float32)
            self.maps.append((self.emit("Clip", [x, low, high]), c, h, w))
        elif kind == 4:
            same = [m for m in self.maps if m[1:] == (c, h, w)]
            other = same[int(self.rng.integers(len(same)))][0]
            self.maps.append((self.emit("Add", [x, other]), c, h, w))
        elif kind == 5:
            same = [m for m in self.maps if m[2:] == (h, w)]
            other = same[int(self.rng.integers(len(same)))]
            self.maps.append((self.emit("Concat", [x, other[0]], axis=1), c + other[1], h, w))
        elif kind == 6 and min(h, w) > 2:
            op = str(self.rng.choice(["MaxPool", "AveragePool"]))
            ceil = self.pick(0, 1)
            y = self.emit(op, [x], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=ceil)
            self.maps.append((y, c, -(-h // 2) if ceil else h // 2, -(-w // 2) if ceil else w // 2))
        elif kind == 7:
            sides = [self.pick(0, 0, 1) for _ in range(6)]
            pads = f"p{len(self.nodes)}"
            self.constants[pads] = np.array([0, *sides[:3], 0, *sides[3:]])
            y = self.emit("Pad", [x, pads])
            grown = [n + a + b for n, a, b in zip((c, h, w), sides[:3], sides[3:], strict=True)]
            self.maps.append((y, grown[0], grown[1], grown[2]))
        else:
            scale = self.constant(c, 1, 1)
            self.maps.append((self.emit(str(self.rng.choice(["Mul", "Add"])), [x, scale]), c, h, w))

    def finish(self, path: Path) -> Path:
        x, c, _, _ = self.maps[-1]
        pooled = self.emit("GlobalAveragePool", [x])
        flat = self.emit("Flatten", [pooled])
        self.constants["fc"] = self.rng.standard_normal((5, c), dtype=np.float32)
        self.nodes.append(helper.make_node("Gemm", [flat, "fc"], ["y"], name="fc", transB=1))
        return save_graph(path, self.nodes, ("n", 4, 12, 10), self.constants)


@pytest.mark.parametrize("seed", range(60))
def test_random_network_computes_what_onnxruntime_does(seed: int, tmp_path: Path) -> None:
    made = Random(seed)
    for _ in range(18):
        made.grow()
    path = made.finish(tmp_path / "net.onnx")
    graph, store = imported(onnx_model(path, image(12, 10, 4)))
    x = np.random.default_rng(seed).standard_normal((2, 4, 12, 10), dtype=np.float32)
    expected = run_onnxruntime(path, x)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(run_graph(graph, store, x), expected, atol=3e-5 * scale)
    assert import_structure(onnx_model(path, image(12, 10, 4))).nodes == graph.nodes


def test_weights_given_as_constant_nodes_are_read(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((5, 4, 3, 3), dtype=np.float32)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight)),
        helper.make_node("Conv", ["x", "w"], ["a"], name="stem"),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["y"]),
    ]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 6, 6))
    graph, store = imported(onnx_model(path, image(6, 6, 4)))
    ref = graph.parameters[0].ref
    assert ref is not None
    np.testing.assert_array_equal(store.get(ref), weight)
