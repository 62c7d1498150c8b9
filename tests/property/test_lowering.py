"""Random networks at random precisions: every operator of the program means its node of the network."""

from __future__ import annotations

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.ir.graph import AvgPool2d, Conv2d, Graph, MaxPool2d
from hawqlang.ops import Frame, problems
from hawqlang.stages.structure import layer_nodes
from tests.unit.stages.lower.harness import image, lowered
from tests.unit.stages.nets import Net


class Grower:
    """Adds random operators to a network, each reading values that are there."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        sizes = self.rng.integers(4, 9, 2)
        self.net = Net((3, int(sizes[0]), int(sizes[1])), seed)
        self.maps = [self.net.conv("stem", "x", 4)]

    def any(self) -> str:
        """A feature map, more often a late one."""
        return self.maps[-1 - min(int(self.rng.geometric(0.5)) - 1, len(self.maps) - 1)]

    def pads(self, most: int) -> tuple[int, int, int, int]:
        top, left, bottom, right = (int(n) for n in self.rng.integers(0, most + 1, 4))
        return top, left, bottom, right

    def grow(self, name: str) -> None:
        kind = ["conv", "conv", "relu", "clamp", "add", "concat", "max", "avg", "bn", "pad", "cut"]
        self.maps.append(getattr(self, self.rng.choice(kind))(name, self.any()))

    def conv(self, name: str, x: str) -> str:
        c, h, w = self.net.shapes[x]
        groups = int(self.rng.choice([g for g in (1, 1, 2, c) if c % g == 0]))
        channels = groups * int(self.rng.integers(1, 3)) if groups > 1 else 4
        kernel = (int(self.rng.integers(1, 4)), int(self.rng.integers(1, 4)))
        stride = (int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3)))
        dilation = (int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3)))
        pads = self.pads(2)
        size = spatial((h, w), kernel, stride, pads, dilation)
        if min(size) < 1:
            return self.relu(name, x)
        drawn = self.net.rng.normal(size=(channels, c // groups, *kernel))
        node = Conv2d(
            name=name,
            x=x,
            output=name,
            weight=self.net.parameter(f"{name}.weight", drawn / np.sqrt(drawn[0].size)),
            bias=self.net.parameter(f"{name}.bias", self.net.rng.normal(size=channels)),
            stride=stride,
            padding=pads,
            dilation=dilation,
            groups=groups,
        )
        return self.net.push(node, (channels, *size))

    def relu(self, name: str, x: str) -> str:
        return self.net.relu(name, x)

    def clamp(self, name: str, x: str) -> str:
        low = None if self.rng.random() < 0.3 else -float(self.rng.random())
        return self.net.relu(name, x, low=low, high=float(self.rng.random()) + 0.2)

    def add(self, name: str, x: str) -> str:
        alike = [m for m in self.maps if self.net.shapes[m] == self.net.shapes[x]]
        return self.net.add(name, x, str(self.rng.choice(alike)))

    def concat(self, name: str, x: str) -> str:
        alike = [m for m in self.maps if self.net.shapes[m][1:] == self.net.shapes[x][1:]]
        return self.net.concat(name, x, str(self.rng.choice(alike)))

    def max(self, name: str, x: str) -> str:
        c, h, w = self.net.shapes[x]
        pads = self.pads(1)
        size = spatial((h, w), (2, 3), (1, 1), pads, (1, 1))
        if min(size) < 1 or min(h, w) < 2:
            return self.relu(name, x)
        node = MaxPool2d(name=name, x=x, output=name, kernel=(2, 3), stride=(1, 1), padding=pads)
        return self.net.push(node, (c, *size))

    def avg(self, name: str, x: str) -> str:
        c, h, w = self.net.shapes[x]
        pads = self.pads(1)
        counted = pads if self.rng.random() < 0.5 else (pads[0], 0, 0, 0)
        size = spatial((h, w), (2, 2), (2, 1), pads, (1, 1))
        if min(size) < 1:
            return self.relu(name, x)
        node = AvgPool2d(
            name=name,
            x=x,
            output=name,
            kernel=(2, 2),
            stride=(2, 1),
            padding=pads,
            counted=counted,
        )
        return self.net.push(node, (c, *size))

    def bn(self, name: str, x: str) -> str:
        return self.net.batch_norm(name, x, self.rng.normal(size=self.net.shapes[x][0]).tolist())

    def pad(self, name: str, x: str) -> str:
        return self.net.widen(name, x, int(self.rng.integers(0, 3)), 1)

    def cut(self, name: str, x: str) -> str:
        return self.net.halve(name, x)

    def finish(self) -> Graph:
        last = self.maps[-1]
        if self.rng.random() < 0.5:
            return self.net.graph(self.net.flatten("flat", self.net.avg_pool("mean", last)))
        return self.net.graph(self.net.linear("fc", self.net.flatten("flat", last), 5))


def spatial(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    tall, wide = (
        (size[i] + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    return tall, wide


@pytest.mark.parametrize("seed", range(60))
def test_every_operator_of_a_random_network_means_its_node(seed: int) -> None:
    grower = Grower(seed)
    for i in range(int(grower.rng.integers(3, 12))):
        grower.grow(f"n{i}")
    graph = grower.finish()
    precisions = {
        node.name: Precision(
            wbits=int(grower.rng.integers(2, 9)), abits=int(grower.rng.integers(2, 9))
        )
        for node in layer_nodes(graph)
    }
    _, height, wide = graph.input.shape
    order = "bgr" if seed % 2 else "rgb"
    found = lowered((graph, grower.net.store), image(height, wide, order=order), precisions)
    found.assert_every_operator_means_its_node()
    frame = Frame({}, {t.name: t for t in found.program.tensors}, found.store.get)
    assert [p for op in found.program.ops for p in problems(op, frame)] == []
