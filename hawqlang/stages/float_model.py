"""Executes a Graph in float32 with PyTorch: the reference for calibration, sensitivity and reported FP32 accuracy.

Tensors are NCHW with a batch axis. A value is freed as soon as its last reader has run, so memory is that of the widest
point of the network, not of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

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
    Multiply,
    Operator,
    Pad,
    Pads,
    Rearrange,
    Resample,
    Slice,
    Table,
    Take,
)
from hawqlang.ir.operands import inputs
from hawqlang.ir.spec import ImageInput, TensorInput
from hawqlang.stages import float_ops
from hawqlang.stages.data.samples import Samples

UInt8 = npt.NDArray[np.uint8]
Intercept = Callable[[str, Tensor], Tensor]
"""Gets each value's name and tensor as it is defined, the input included; what it returns takes its place."""
Overrides = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Run:
    """What one pass through the network gave."""

    output: Tensor
    """Logits, ``(N, F)``."""
    kept: Mapping[str, Tensor]
    """The values asked for."""


class FloatModel:
    """A graph with its parameters in memory."""

    def __init__(self, graph: Graph, store: TensorStore) -> None:
        self.graph = graph
        self.parameters: dict[str, Tensor] = {}
        """By name; ``(OC, IC/groups, KH, KW)`` and ``(OF, IF)`` for weights."""
        for parameter in graph.parameters:
            if parameter.ref is None:
                raise ValueError(f"the graph was imported without weights: '{parameter.name}'")
            self.parameters[parameter.name] = torch.from_numpy(np.array(store.get(parameter.ref)))
        self._last_reader = _last_readers(graph)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(N, F)`` of a float32 batch."""
        return self.run(x).output

    def run(
        self,
        x: Tensor,
        *,
        parameters: Overrides | None = None,
        intercept: Intercept | None = None,
        keep: Collection[str] = (),
    ) -> Run:
        """Run the network on a batch, ``(N, C, H, W)`` or ``(N, F)``.

        ``parameters`` replace the graph's own by name; ``intercept`` may replace any value; the values in ``keep`` are
        returned. Gradients flow where the caller enables them.
        """
        kept: dict[str, Tensor] = {}
        alive: dict[str, Tensor] = {}

        def define(name: str, value: Tensor) -> None:
            value = value if intercept is None else intercept(name, value)
            alive[name] = value
            if name in keep:
                kept[name] = value

        own = self.parameters
        merged: Overrides = own if parameters is None else {**own, **parameters}
        define(self.graph.input.name, x)
        for position, node in enumerate(self.graph.nodes):
            define(node.output, evaluate(node, alive, merged))
            for name in (*inputs(node), node.output):
                if self._last_reader.get(name, -1) <= position:
                    alive.pop(name, None)
        return Run(output=alive[self.graph.output], kept=kept)


def evaluate(  # noqa: C901, PLR0911 - one return an operator
    node: Operator, values: Mapping[str, Tensor], parameters: Overrides
) -> Tensor:
    """Return what one operator makes of the values it reads."""
    match node:
        case Table() | Multiply() | Rearrange() | Take() | Resample():
            return float_ops.evaluate(node, values, parameters)
        case Conv2d() | Linear() | BatchNorm():
            return _weighted(node, values[node.x], parameters)
        case Clamp():
            low = -torch.inf if node.low is None else node.low
            return torch.clamp(values[node.x], low, node.high)
        case Add():
            return values[node.a] + values[node.b]
        case Concat():
            return torch.cat([values[x] for x in node.inputs], dim=1)
        case MaxPool2d():
            padded = _padded(values[node.x], node.padding, -torch.inf)
            return F.max_pool2d(padded, node.kernel, node.stride, dilation=node.dilation)
        case AvgPool2d():
            return _average(node, values[node.x])
        case Flatten():
            return torch.flatten(values[node.x], 1)
        case Slice():
            bounds = zip(node.start, node.stop, node.step, strict=True)
            return values[node.x][(slice(None), *(slice(*b) for b in bounds))]
        case Pad():
            top, left, bottom, right = node.padding
            return F.pad(values[node.x], (left, right, top, bottom, *node.channels))
        case _:
            assert_never(node)


def _weighted(node: Conv2d | Linear | BatchNorm, x: Tensor, parameters: Overrides) -> Tensor:
    match node:
        case Conv2d():
            top, left, bottom, right = node.padding
            symmetric = (top, left) == (bottom, right)
            return F.conv2d(
                x if symmetric else _padded(x, node.padding, 0.0),
                parameters[node.weight],
                parameters[node.bias] if node.bias else None,
                node.stride,
                (top, left) if symmetric else (0, 0),
                node.dilation,
                node.groups,
            )
        case Linear():
            bias = parameters[node.bias] if node.bias else None
            return F.linear(x, parameters[node.weight], bias)
        case BatchNorm():
            return F.batch_norm(
                x,
                parameters[node.mean],
                parameters[node.var],
                parameters[node.gamma] if node.gamma else None,
                parameters[node.beta] if node.beta else None,
                training=False,
                eps=node.epsilon,
            )
        case _:
            assert_never(node)


def _padded(x: Tensor, padding: Pads, value: float) -> Tensor:
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def _average(node: AvgPool2d, x: Tensor) -> Tensor:
    padded = _padded(x, node.padding, 0.0)
    if node.counted == node.padding:
        return F.avg_pool2d(padded, node.kernel, node.stride)
    total = F.avg_pool2d(padded, node.kernel, node.stride, divisor_override=1)
    beyond: Pads = tuple(p - c for p, c in zip(node.padding, node.counted, strict=True))  # pyright: ignore[reportAssignmentType]
    top, left, bottom, right = node.counted
    ones = x.new_ones((1, 1, x.shape[2] + top + bottom, x.shape[3] + left + right))
    count = F.avg_pool2d(_padded(ones, beyond, 0.0), node.kernel, node.stride, divisor_override=1)
    return total / count


def _last_readers(graph: Graph) -> dict[str, int]:
    last = {name: i for i, node in enumerate(graph.nodes) for name in inputs(node)}
    last[graph.output] = len(graph.nodes)
    return last


# ---- pixels in, classes out ----------------------------------------------------------------------------------------


def pixel_table(image: ImageInput) -> npt.NDArray[np.float32]:
    """Return ``(C, 256)``: what the network sees for each pixel value, channels in the network's order.

    ``(pixel · scale - mean) / std`` in exact arithmetic, rounded once.
    """
    rows = zip(image.mean, image.std, strict=True)
    exact = [[(v * image.scale - mean) / std for v in range(256)] for mean, std in rows]
    return np.array([[float(v) for v in row] for row in exact], dtype=np.float32)


def code_table(tensor: TensorInput) -> npt.NDArray[np.float32]:
    """Return ``(256,)``: the real number behind each code of a tensor input.

    The range always includes 0, and 0 is exact: ``scale · (code - zero_point)``.
    """
    low, high = min(tensor.low, Fraction(0)), max(tensor.high, Fraction(0))
    scale = (high - low) / 255
    zero_point = min(255, max(0, round(-low / scale)))
    return np.array([float(scale * (code - zero_point)) for code in range(256)], dtype=np.float32)


def predict(
    model: FloatModel, samples: Samples, kind: ImageInput | TensorInput, *, batch: int = 16
) -> npt.NDArray[np.int64]:
    """Return the top-1 class of every sample; the first of equal logits wins."""
    with torch.inference_mode():
        found = [
            model.forward(preprocess(part, kind)).numpy().argmax(axis=1)
            for part in samples.batches(batch)
        ]
    return np.concatenate(found).astype(np.int64)


def preprocess(samples: UInt8, kind: ImageInput | TensorInput) -> Tensor:
    """Return the float32 batch a network sees: ``(N, C, H, W)`` of uint8 RGB NHWC pixels, or a tensor's own axes."""
    if isinstance(kind, TensorInput):
        return torch.from_numpy(code_table(kind)[samples])
    table = pixel_table(kind)
    channels = range(kind.channels) if kind.order == "rgb" else range(kind.channels)[::-1]
    planes = [table[i][samples[..., channel]] for i, channel in enumerate(channels)]
    return torch.from_numpy(np.stack(planes, axis=1))
