"""Small random networks of the blocks of well-known families, as ONNX files an exporter might write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from tests.support.imports import save_graph

F32 = np.float32


@dataclass
class Writer:
    """Writes an ONNX graph node by node; every method returns the name of what it gives."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict[str, npt.NDArray[Any]])

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: Any, dtype: Any = F32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(values, dtype)
        return name

    def conv(
        self, x: str, sizes: tuple[int, int], kernel: int = 1, *, stride: int = 1, groups: int = 1
    ) -> str:
        """``sizes`` are input and output channels."""
        shape = (sizes[1], sizes[0] // groups, kernel, kernel)
        weight = self.rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        names = self.constant(weight), self.constant(self.rng.normal(size=sizes[1]) * 0.1)
        pads = [kernel // 2] * 4
        return self.op("Conv", x, *names, strides=[stride, stride], pads=pads, group=groups)

    def norm(self, x: str, channels: int) -> str:
        """A batch norm."""
        draws = [self.rng.uniform(0.5, 1.5, channels) for _ in range(2)]
        shifts = [self.rng.normal(size=channels) * 0.2 for _ in range(2)]
        given = (draws[0], shifts[0], shifts[1], draws[1])
        return self.op("BatchNormalization", x, *(self.constant(v) for v in given))

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def excited(self, x: str, channels: int, inner: int, gate: str, act: str) -> str:
        """Squeeze and excitation."""
        squeezed = self.conv(self.op("GlobalAveragePool", x), (channels, inner))
        hidden = self.silu(squeezed) if act == "Silu" else self.op(act, squeezed)
        opened = self.op(gate, self.conv(hidden, (inner, channels)))
        return self.op("Mul", opened, x)

    def head(self, x: str, channels: int) -> None:
        """Ten logits."""
        flat = self.op("Flatten", self.op("GlobalAveragePool", x))
        weight = self.constant(self.rng.normal(size=(10, channels)) / np.sqrt(channels))
        self.nodes.append(helper.make_node("Gemm", [flat, weight], ["y"], name="head", transB=1))


def mobilenet_v3(w: Writer, x: str) -> tuple[str, int]:
    """Inverted residuals with hard-swish written out, gates of hard-sigmoid."""
    x = w.op("HardSwish", w.conv(x, (3, 8), 3, stride=2))
    for _ in range(2):
        wide = w.conv(x, (8, 24))
        plus = w.op("Add", wide, w.constant(3.0))
        clipped = w.op("Clip", plus, w.constant(0.0), w.constant(6.0))
        swish = w.op("Div", w.op("Mul", wide, clipped), w.constant(6.0))
        deep = w.op("HardSwish", w.conv(swish, (24, 24), 5, groups=24))
        gated = w.excited(deep, 24, 8, "HardSigmoid", "Relu")
        x = w.op("Add", x, w.conv(gated, (24, 8)))
    return x, 8


def efficientnet(w: Writer, x: str) -> tuple[str, int]:
    """MBConv: SiLU everywhere, gates of sigmoid."""
    x = w.silu(w.norm(w.conv(x, (3, 8), 3, stride=2), 8))
    for _ in range(2):
        wide = w.silu(w.norm(w.conv(x, (8, 32)), 32))
        deep = w.silu(w.norm(w.conv(wide, (32, 32), 3, groups=32), 32))
        gated = w.excited(deep, 32, 4, "Sigmoid", "Silu")
        x = w.op("Add", w.norm(w.conv(gated, (32, 8)), 8), x)
    return w.silu(x), 8


def regnet_y(w: Writer, x: str) -> tuple[str, int]:
    """Grouped bottlenecks with squeeze and excitation, a projected shortcut."""
    x = w.op("Relu", w.conv(x, (3, 16), 3, stride=2))
    y = w.op("Relu", w.conv(x, (16, 32)))
    y = w.op("Relu", w.conv(y, (32, 32), 3, stride=2, groups=4))
    y = w.conv(w.excited(y, 32, 4, "Sigmoid", "Relu"), (32, 32))
    return w.op("Relu", w.op("Add", w.conv(x, (16, 32), 1, stride=2), y)), 32


def shufflenet_v2(w: Writer, x: str) -> tuple[str, int]:
    """Channel split, one branch, concatenation, channel shuffle."""
    x = w.op("Relu", w.conv(x, (3, 16), 3, stride=2))
    for _ in range(2):
        name = f"Split_{len(w.nodes)}"
        parts = [f"{name}_{i}" for i in (0, 1)]
        sizes = w.constant([8, 8], np.int64)
        w.nodes.append(helper.make_node("Split", [x, sizes], parts, name=name, axis=1))
        branch = w.op("Relu", w.conv(parts[1], (8, 8)))
        branch = w.op("Relu", w.conv(w.conv(branch, (8, 8), 3, groups=8), (8, 8)))
        joined = w.op("Concat", parts[0], branch, axis=1)
        seen = w.op("Reshape", joined, w.constant([-1, 2, 8, 8, 8], np.int64))
        turned = w.op("Transpose", seen, perm=[0, 2, 1, 3, 4])
        x = w.op("Reshape", turned, w.constant([-1, 16, 8, 8], np.int64))
    return x, 16


def googlenet(w: Writer, x: str) -> tuple[str, int]:
    """An inception module between pools in ceil mode."""
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    x = w.op("MaxPool", w.op("Relu", w.conv(x, (3, 12), 3)), **pool)
    around = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}
    branches = [
        w.op("Relu", w.conv(x, (12, 8))),
        w.op("Relu", w.conv(w.op("Relu", w.conv(x, (12, 6))), (6, 8), 3)),
        w.op("Relu", w.conv(w.op("Relu", w.conv(x, (12, 4))), (4, 4), 5)),
        w.op("Relu", w.conv(w.op("MaxPool", x, **around), (12, 4))),
    ]
    joined = w.op("Concat", *branches, axis=1)
    return w.op("AveragePool", joined, count_include_pad=1, **(around | {"strides": [2, 2]})), 24


def densenet(w: Writer, x: str) -> tuple[str, int]:
    """Batch norms after concatenations, before padded convolutions: none of them folds."""
    x, channels = w.op("Relu", w.norm(w.conv(x, (3, 12), 3, stride=2), 12)), 12
    for _ in range(3):
        inner = w.op("Relu", w.norm(x, channels))
        inner = w.op("Relu", w.norm(w.conv(inner, (channels, 16)), 16))
        x, channels = w.op("Concat", x, w.conv(inner, (16, 8), 3), axis=1), channels + 8
    x = w.conv(w.op("Relu", w.norm(x, channels)), (channels, 16))
    x = w.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return w.op("Relu", w.norm(x, 16)), 16


def decoder(w: Writer, x: str) -> tuple[str, int]:
    """Down, and up again in every way: interpolated, nearest, transposed, pixel shuffle, reflected."""
    x = w.op("Relu", w.conv(x, (3, 16), 3, stride=2))
    low = w.op("Gelu", w.conv(x, (16, 16), 3, stride=2))
    twice = w.constant([1, 1, 2, 2])
    linear = w.op("Resize", low, "", twice, mode="linear")
    near = w.op("Resize", low, "", twice, mode="nearest")
    kernel = w.constant(w.rng.normal(size=(16, 16, 4, 4)) / 12)
    turned = w.op("ConvTranspose", low, kernel, strides=[2, 2], pads=[1, 1, 1, 1])
    pixels = w.op("DepthToSpace", w.conv(low, (16, 64)), blocksize=2, mode="CRD")
    total = w.op("Add", w.op("Add", linear, near), w.op("Sub", turned, pixels))
    around = w.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    framed = w.op("Pad", w.op("Concat", total, x, axis=1), around, mode="reflect")
    slopes = w.constant(w.rng.uniform(0, 0.5, (16, 1, 1)))
    return w.op("PRelu", w.conv(framed, (32, 16), 3), slopes), 16


FAMILIES: dict[str, Callable[[Writer, str], tuple[str, int]]] = {
    "mobilenet_v3": mobilenet_v3,
    "efficientnet": efficientnet,
    "regnet_y": regnet_y,
    "shufflenet_v2": shufflenet_v2,
    "googlenet": googlenet,
    "densenet": densenet,
    "decoder": decoder,
}
SIZE = 16
"""Height and width of the images they take."""


def write_family(name: str, path: Path, seed: int = 0) -> Path:
    """Write the network of a family and return the path."""
    w = Writer(np.random.default_rng(seed))
    x, channels = FAMILIES[name](w, "x")
    w.head(x, channels)
    return save_graph(path, w.nodes, ("n", 3, SIZE, SIZE), w.constants, opset=20)
