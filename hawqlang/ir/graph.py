"""Graph: the float network as operators in topological order, with shapes.

Shapes are in the model's own order without the batch axis: ``(C, H, W)`` for feature maps,
``(F,)`` for vectors.
The structure stands alone: parameters are named with their shapes, and their values
(``TensorRef``) may be absent, so
that a spec can be checked without reading a weight file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hawqlang.arith.functions import Function
from hawqlang.base import Frozen, TensorRef

Pads = tuple[int, int, int, int]
"""Padding as (top, left, bottom, right)."""

Tap = tuple[int, int, float]
"""Of an interpolation: ``x[first] · (1 − weight) + x[second] · weight``."""


class Value(Frozen):
    """A tensor of the graph."""

    name: str
    shape: tuple[int, ...]


class Parameter(Frozen):
    """A weight, bias or statistic; ``ref`` is ``None`` in a graph whose weights were not read. Stored as float32."""

    name: str
    shape: tuple[int, ...]
    ref: TensorRef | None = None


class Node(Frozen):
    """What all operators share."""

    name: str
    """Module path (``layer4.0.conv1``) or node name: what users call it. Unique in the graph."""
    output: str


class Conv2d(Node):
    """Convolution; depthwise where ``groups`` equals the input channels. Weight ``(OC, IC/groups, KH, KW)``."""

    op: Literal["conv2d"] = "conv2d"
    x: str
    weight: str
    bias: str | None
    stride: tuple[int, int] = (1, 1)
    padding: Pads = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


class Linear(Node):
    """``y = x Wᵀ + b`` on a vector; weight ``(OF, IF)``."""

    op: Literal["linear"] = "linear"
    x: str
    weight: str
    bias: str | None


class BatchNorm(Node):
    """Batch norm in inference form, per channel; folded into the convolution before it where there is one."""

    op: Literal["batch_norm"] = "batch_norm"
    x: str
    gamma: str | None
    beta: str | None
    mean: str
    var: str
    epsilon: float


class Clamp(Node):
    """``min(max(x, low), high)``: ReLU is ``(0, None)``, ReLU6 ``(0, 6)``."""

    op: Literal["clamp"] = "clamp"
    x: str
    low: float | None
    high: float | None


class Add(Node):
    """Elementwise sum of two tensors of one shape."""

    op: Literal["add"] = "add"
    a: str
    b: str


class Concat(Node):
    """Concatenation along channels."""

    op: Literal["concat"] = "concat"
    inputs: tuple[str, ...]


class MaxPool2d(Node):
    """Max pooling; padding never wins. ``ceil_mode`` is already expressed in ``padding`` (bottom, right)."""

    op: Literal["max_pool2d"] = "max_pool2d"
    x: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Pads = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)


class AvgPool2d(Node):
    """Average pooling; a window over the whole map is global pooling.

    ``counted`` is the padding that counts as zeros in the divisor (``count_include_pad``); what
    ``padding`` has beyond
    it (ceil mode) never counts.
    """

    op: Literal["avg_pool2d"] = "avg_pool2d"
    x: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Pads = (0, 0, 0, 0)
    counted: Pads = (0, 0, 0, 0)


class Flatten(Node):
    """``(C, H, W)`` to ``(C·H·W,)`` in the model's order."""

    op: Literal["flatten"] = "flatten"
    x: str


class Slice(Node):
    """``x[start:stop:step]`` on every axis of the value's shape; ``stop`` is exact, never negative."""

    op: Literal["slice"] = "slice"
    x: str
    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]


class Pad(Node):
    """Constant zero padding of a feature map, channels included: (front, back) and (top, left, bottom, right)."""

    op: Literal["pad"] = "pad"
    x: str
    channels: tuple[int, int] = (0, 0)
    padding: Pads = (0, 0, 0, 0)


class Table(Node):
    """A function of each element alone: sigmoid, SiLU, GELU, leaky ReLU, whatever reads one tensor."""

    op: Literal["table"] = "table"
    x: str
    function: Function
    """In postfix (``arith.functions``)."""
    slope: str | None = None
    """The parameter ``p`` of every channel, ``(C,)``: PReLU."""


class Multiply(Node):
    """Elementwise product; an axis of length 1 stands for any length, and a vector ``(C,)`` for ``(C, 1, 1)``."""

    op: Literal["multiply"] = "multiply"
    a: str
    b: str


class Rearrange(Node):
    """The elements in order, seen as ``view``, its axes brought into ``order``, seen as the result's shape.

    Every chain of reshapes and transposes is one or more of these: channel shuffle, depth to space.
    """

    op: Literal["rearrange"] = "rearrange"
    x: str
    view: tuple[int, ...]
    order: tuple[int, ...]
    """Axis ``i`` of the permuted view is axis ``order[i]`` of the view."""
    shape: tuple[int, ...]
    """Of the result."""


class Take(Node):
    """Chosen indices along every axis: nearest resize, expansion, padding by reflection or by the edge."""

    op: Literal["take"] = "take"
    x: str
    indices: tuple[tuple[int, ...] | None, ...]
    """One per axis of the value's shape; ``None`` keeps an axis."""


class Resample(Node):
    """Linear interpolation along height and width, each output between two rows and two columns."""

    op: Literal["resample"] = "resample"
    x: str
    rows: tuple[Tap, ...]
    columns: tuple[Tap, ...]


Operator = Annotated[
    Conv2d
    | Linear
    | BatchNorm
    | Clamp
    | Add
    | Concat
    | MaxPool2d
    | AvgPool2d
    | Flatten
    | Slice
    | Pad
    | Table
    | Multiply
    | Rearrange
    | Take
    | Resample,
    Field(discriminator="op"),
]


class Graph(Frozen):
    """A float network with one input and one output."""

    name: str
    input: Value
    output: str
    """Name of the value that holds the logits, a vector; a final softmax has been dropped."""
    nodes: tuple[Operator, ...]
    values: tuple[Value, ...]
    """Every value, the input included, in order of definition."""
    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...] = ()
    """What the importer wants the reader to know: a dropped softmax, a removed dropout."""

    def shape(self, value: str) -> tuple[int, ...]:
        """Return the shape of a value, without batch."""
        return next(v.shape for v in self.values if v.name == value)
