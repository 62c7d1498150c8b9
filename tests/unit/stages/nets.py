"""Small networks for tests: a builder that infers shapes and stores parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.cache import TensorStore
from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Concat,
    Conv2d,
    Flatten,
    Graph,
    Linear,
    MaxPool2d,
    Operator,
    Pad,
    Parameter,
    Slice,
    Value,
)


class Net:
    """Grows a graph; a method returns the name of the value it made, the node's name."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.store = TensorStore()
        self.rng = np.random.default_rng(seed)
        self.shapes: dict[str, tuple[int, ...]] = {"x": shape}
        self.nodes: list[Operator] = []
        self.parameters: list[Parameter] = []

    def parameter(self, name: str, array: npt.NDArray[Any]) -> str:
        ref = self.store.put(array.astype(np.float32))
        self.parameters.append(Parameter(name=name, shape=array.shape, ref=ref))
        return name

    def push(self, node: Operator, shape: tuple[int, ...]) -> str:
        self.nodes.append(node)
        self.shapes[node.output] = shape
        return node.output

    def conv(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        pad: int | None = None,
        weight: npt.NDArray[Any] | None = None,
        bias: npt.NDArray[Any] | None = None,
    ) -> str:
        c, h, w = self.shapes[x]
        pad = kernel // 2 if pad is None else pad
        shape = (channels, c // groups, kernel, kernel)
        drawn = self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        shift = self.rng.normal(size=channels) * 0.1
        node = Conv2d(
            name=name,
            x=x,
            output=name,
            weight=self.parameter(f"{name}.weight", drawn if weight is None else weight),
            bias=self.parameter(f"{name}.bias", shift if bias is None else bias),
            stride=(stride, stride),
            padding=(pad, pad, pad, pad),
            groups=groups,
        )
        size = [(n + 2 * pad - kernel) // stride + 1 for n in (h, w)]
        return self.push(node, (channels, *size))

    def linear(self, name: str, x: str, features: int, *, bias: bool = True) -> str:
        (n,) = self.shapes[x]
        weight = self.rng.normal(size=(features, n)) / np.sqrt(n)
        node = Linear(
            name=name,
            x=x,
            output=name,
            weight=self.parameter(f"{name}.weight", weight),
            bias=self.parameter(f"{name}.bias", self.rng.normal(size=features)) if bias else None,
        )
        return self.push(node, (features,))

    def relu(self, name: str, x: str, high: float | None = None, low: float | None = 0.0) -> str:
        return self.push(Clamp(name=name, x=x, output=name, low=low, high=high), self.shapes[x])

    def add(self, name: str, a: str, b: str) -> str:
        return self.push(Add(name=name, a=a, b=b, output=name), self.shapes[a])

    def concat(self, name: str, *inputs: str) -> str:
        c = sum(self.shapes[i][0] for i in inputs)
        shape = (c, *self.shapes[inputs[0]][1:])
        return self.push(Concat(name=name, inputs=inputs, output=name), shape)

    def max_pool(self, name: str, x: str, kernel: int = 2) -> str:
        c, h, w = self.shapes[x]
        node = MaxPool2d(
            name=name, x=x, output=name, kernel=(kernel, kernel), stride=(kernel, kernel)
        )
        return self.push(node, (c, h // kernel, w // kernel))

    def avg_pool(self, name: str, x: str) -> str:
        c, h, w = self.shapes[x]
        node = AvgPool2d(name=name, x=x, output=name, kernel=(h, w), stride=(h, w))
        return self.push(node, (c, 1, 1))

    def flatten(self, name: str, x: str) -> str:
        size = int(np.prod(self.shapes[x]))
        return self.push(Flatten(name=name, x=x, output=name), (size,))

    def halve(self, name: str, x: str) -> str:
        c, h, w = self.shapes[x]
        node = Slice(name=name, x=x, output=name, start=(0, 0, 0), stop=(c, h, w), step=(1, 2, 2))
        return self.push(node, (c, (h + 1) // 2, (w + 1) // 2))

    def widen(self, name: str, x: str, front: int, back: int) -> str:
        c, h, w = self.shapes[x]
        node = Pad(name=name, x=x, output=name, channels=(front, back))
        return self.push(node, (c + front + back, h, w))

    def batch_norm(self, name: str, x: str, gamma: Sequence[float] | None = None) -> str:
        c = self.shapes[x][0]
        array = np.ones(c) if gamma is None else np.asarray(gamma)
        node = BatchNorm(
            name=name,
            x=x,
            output=name,
            gamma=self.parameter(f"{name}.gamma", array),
            beta=self.parameter(f"{name}.beta", self.rng.normal(size=c)),
            mean=self.parameter(f"{name}.mean", self.rng.normal(size=c) * 0.1),
            var=self.parameter(f"{name}.var", np.ones(c)),
            epsilon=1e-5,
        )
        return self.push(node, self.shapes[x])

    def graph(self, output: str) -> Graph:
        values = tuple(Value(name=n, shape=s) for n, s in self.shapes.items())
        return Graph(
            name="net",
            input=values[0],
            output=output,
            nodes=tuple(self.nodes),
            values=values,
            parameters=tuple(self.parameters),
        )


def residual_net(seed: int = 0) -> tuple[Graph, TensorStore]:
    """A CIFAR-like residual network: padded shortcut, additions, global pool, linear."""
    net = Net((3, 8, 8), seed)
    stem = net.relu("stem.relu", net.conv("stem", "x", 4))
    a = net.relu("b1.relu1", net.conv("b1.conv1", stem, 4))
    s1 = net.relu("b1.relu2", net.add("b1.add", net.conv("b1.conv2", a, 4), stem))
    b = net.relu("b2.relu1", net.conv("b2.conv1", s1, 8, stride=2))
    shortcut = net.widen("b2.pad", net.halve("b2.slice", s1), 2, 2)
    s2 = net.relu("b2.relu2", net.add("b2.add", net.conv("b2.conv2", b, 8), shortcut))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", s2)), 5)
    return net.graph(logits), net.store


def fire_net(seed: int = 0) -> tuple[Graph, TensorStore]:
    """A SqueezeNet-like network: concat of two branches, pool over it, logits from a pooled map."""
    net = Net((3, 8, 8), seed)
    stem = net.max_pool("pool1", net.relu("stem.relu", net.conv("stem", "x", 6)))
    squeeze = net.relu("squeeze.relu", net.conv("squeeze", stem, 4, 1))
    left = net.relu("left.relu", net.conv("left", squeeze, 6, 1))
    right = net.relu("right.relu", net.conv("right", squeeze, 6, 3))
    both = net.max_pool("pool2", net.concat("concat", left, right))
    head = net.relu("head.relu", net.conv("head", both, 5, 1))
    return net.graph(net.flatten("flat", net.avg_pool("pool", head))), net.store
