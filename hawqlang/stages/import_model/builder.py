"""Builder: what every front end writes a draft with.

Shape rules stand here once. A value is called like the node that defines it; the input is called ``input``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from hawqlang.arith.functions import Function
from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Concat,
    Conv2d,
    Flatten,
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
    Tap,
)
from hawqlang.stages.import_model.draft import INPUT, Draft, Uniform
from hawqlang.stages.import_model.recipes import Recipe, Shape, Stored
from hawqlang.stages.import_model.windows import (
    Pair,
    ceil_padding,
    pads,
    pair,
    uniform_windows,
    window_count,
)

LARGEST = 2**31
"""Elements of the largest tensor of one sample."""


class ShapeError(ValueError):
    """An operator does not fit the tensor it reads; the message names both."""


@dataclass(slots=True)
class Builder:
    """Writes a ``Draft`` operator by operator; every method returns the name of the value it defines."""

    name: str
    input_shape: Shape
    nodes: list[Operator] = field(default_factory=list[Operator])
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    parameters: dict[str, Recipe] = field(default_factory=dict[str, "Recipe"])
    notes: list[str] = field(default_factory=list[str])
    uniform: dict[str, Uniform] = field(default_factory=dict[str, Uniform])
    """Batch norms by output that are one slope and one offset for all channels."""

    def __post_init__(self) -> None:
        self.shapes[INPUT] = self.input_shape

    def finish(self, output: str) -> Draft:
        """Return what has been written."""
        return Draft(
            name=self.name,
            nodes=tuple(self.nodes),
            shapes=dict(self.shapes),
            parameters=dict(self.parameters),
            output=output,
            notes=tuple(self.notes),
            uniform=dict(self.uniform),
        )

    # ---- operators with weights ------------------------------------------------------------------------------------

    def conv(  # noqa: PLR0913 - a convolution has this many attributes
        self,
        name: str,
        x: str,
        channels: int,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pads = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> str:
        """Add a convolution whose weight and bias are stored under its own name."""
        incoming = self.map_shape(name, x)[0]
        if incoming % groups or channels % groups:
            raise ShapeError(
                f"'{name}' has {groups} groups, which do not divide its {incoming} input and {channels} output channels"
            )
        shape = (channels, incoming // groups, *pair(kernel))
        return self.conv_of(
            name,
            x,
            weight=Stored(f"{name}.weight", shape),
            bias=Stored(f"{name}.bias", (channels,)) if bias else None,
            stride=pair(stride),
            padding=pads(padding),
            dilation=pair(dilation),
            groups=groups,
        )

    def conv_of(  # noqa: PLR0913
        self,
        name: str,
        x: str,
        *,
        weight: Recipe,
        bias: Recipe | None,
        stride: Pair,
        padding: Pads,
        dilation: Pair,
        groups: int,
    ) -> str:
        """Add a convolution with the given parameters; weight ``(OC, IC/groups, KH, KW)``."""
        channels, height, width = self.map_shape(name, x)
        out, per_group, kernel_h, kernel_w = weight.shape
        if min(weight.shape) < 1:
            raise ShapeError(f"'{name}' has an empty weight of shape {weight.shape}")
        if per_group * groups != channels:
            raise ShapeError(
                f"'{name}' reads {per_group * groups} channels, but its input has {channels}"
            )
        if out % groups:
            raise ShapeError(f"'{name}' has {out} output channels in {groups} groups")
        top, left, bottom, right = padding
        rows = window_count(height + top + bottom, kernel_h, stride[0], dilation[0])
        columns = window_count(width + left + right, kernel_w, stride[1], dilation[1])
        node = Conv2d(
            name=name,
            output=name,
            x=x,
            weight=self.parameter(f"{name}.weight", weight),
            bias=self.optional(f"{name}.bias", bias),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        return self.add_node(node, (out, rows, columns))

    def linear(self, name: str, x: str, features: int, *, bias: bool = True) -> str:
        """Add a fully connected layer whose weight and bias are stored under its own name."""
        incoming = prod(self.shapes[x])
        weight = Stored(f"{name}.weight", (features, incoming))
        return self.linear_of(
            name, x, weight, Stored(f"{name}.bias", (features,)) if bias else None
        )

    def linear_of(self, name: str, x: str, weight: Recipe, bias: Recipe | None) -> str:
        """Add a fully connected layer with the given parameters; weight ``(OF, IF)``."""
        shape = self.shapes[x]
        if shape != (weight.shape[1],):
            raise ShapeError(
                f"'{name}' reads a vector of {weight.shape[1]}, but its input has shape {shape}"
            )
        node = Linear(
            name=name,
            output=name,
            x=x,
            weight=self.parameter(f"{name}.weight", weight),
            bias=self.optional(f"{name}.bias", bias),
        )
        return self.add_node(node, (weight.shape[0],))

    def batch_norm(self, name: str, x: str, *, epsilon: float = 1e-5) -> str:
        """Add a batch norm whose statistics are stored under its own name, as PyTorch calls them."""
        shape = (self.shapes[x][0],)
        return self.batch_norm_of(
            name,
            x,
            gamma=Stored(f"{name}.weight", shape),
            beta=Stored(f"{name}.bias", shape),
            mean=Stored(f"{name}.running_mean", shape),
            var=Stored(f"{name}.running_var", shape),
            epsilon=epsilon,
        )

    def batch_norm_of(  # noqa: PLR0913
        self,
        name: str,
        x: str,
        *,
        gamma: Recipe | None,
        beta: Recipe | None,
        mean: Recipe,
        var: Recipe,
        epsilon: float,
    ) -> str:
        """Add a batch norm with the given statistics."""
        shape = self.shapes[x]
        for recipe in (gamma, beta, mean, var):
            if recipe is not None and recipe.shape != shape[:1]:
                raise ShapeError(
                    f"'{name}' has {recipe.shape} statistics, but its input has {shape[0]} channels"
                )
        node = BatchNorm(
            name=name,
            output=name,
            x=x,
            gamma=self.optional(f"{name}.gamma", gamma),
            beta=self.optional(f"{name}.beta", beta),
            mean=self.parameter(f"{name}.mean", mean),
            var=self.parameter(f"{name}.var", var),
            epsilon=epsilon,
        )
        return self.add_node(node, shape)

    # ---- operators without weights ---------------------------------------------------------------------------------

    def relu(self, name: str, x: str) -> str:
        """Add ``max(x, 0)``."""
        return self.clamp(name, x, 0.0, None)

    def relu6(self, name: str, x: str) -> str:
        """Add ``min(max(x, 0), 6)``."""
        return self.clamp(name, x, 0.0, 6.0)

    def clamp(self, name: str, x: str, low: float | None, high: float | None) -> str:
        """Add ``min(max(x, low), high)``; ``None`` leaves that side open."""
        return self.add_node(Clamp(name=name, output=name, x=x, low=low, high=high), self.shapes[x])

    def add(self, name: str, a: str, b: str) -> str:
        """Add the sum of two tensors of one shape."""
        if self.shapes[a] != self.shapes[b]:
            raise ShapeError(
                f"'{name}' adds tensors of shapes {self.shapes[a]} and {self.shapes[b]}"
            )
        return self.add_node(Add(name=name, output=name, a=a, b=b), self.shapes[a])

    def concat(self, name: str, inputs: Sequence[str]) -> str:
        """Add a concatenation along channels."""
        shapes = [self.shapes[x] for x in inputs]
        if any(shape[1:] != shapes[0][1:] or len(shape) != len(shapes[0]) for shape in shapes):
            raise ShapeError(f"'{name}' concatenates shapes {', '.join(map(str, shapes))}")
        channels = sum(shape[0] for shape in shapes)
        node = Concat(name=name, output=name, inputs=tuple(inputs))
        return self.add_node(node, (channels, *shapes[0][1:]))

    def max_pool(  # noqa: PLR0913
        self,
        name: str,
        x: str,
        kernel: int | Pair,
        stride: int | Pair,
        *,
        padding: int | Pads = 0,
        dilation: int | Pair = 1,
        ceil: bool = False,
    ) -> str:
        """Add max pooling."""
        window = (pair(kernel), pair(stride), pair(dilation))
        padding = self._pool_padding(name, x, window, pads(padding), ceil=ceil)
        node = MaxPool2d(
            name=name,
            output=name,
            x=x,
            kernel=window[0],
            stride=window[1],
            padding=padding,
            dilation=window[2],
        )
        return self.add_node(node, self._pooled(name, x, window, padding))

    def avg_pool(  # noqa: PLR0913
        self,
        name: str,
        x: str,
        kernel: int | Pair,
        stride: int | Pair,
        *,
        padding: int | Pads = 0,
        ceil: bool = False,
        count_padding: bool = True,
    ) -> str:
        """Add average pooling; ``count_padding`` counts the zeros of the padding in the divisor."""
        window = (pair(kernel), pair(stride), (1, 1))
        written = pads(padding)
        padding = self._pool_padding(name, x, window, written, ceil=ceil)
        top, left, bottom, right = (min(sides) for sides in zip(written, padding, strict=True))
        node = AvgPool2d(
            name=name,
            output=name,
            x=x,
            kernel=window[0],
            stride=window[1],
            padding=padding,
            counted=(top, left, bottom, right) if count_padding else (0, 0, 0, 0),
        )
        return self.add_node(node, self._pooled(name, x, window, padding))

    def global_mean(self, name: str, x: str) -> str:
        """Add the mean over the whole map, ``(C, H, W)`` to ``(C, 1, 1)``."""
        _, height, width = self.map_shape(name, x)
        return self.avg_pool(name, x, (height, width), (height, width))

    def adaptive_mean(self, name: str, x: str, size: Pair) -> str:
        """Add the means of ``size`` windows that cover the map, evenly or not, as PyTorch places them.

        Uneven windows are cut out one by one: each mean is rounded once, and all share a range.
        """
        channels, *extent = self.map_shape(name, x)
        if tuple(extent) == size:
            return x
        rows, columns = (uniform_windows(n, m) for n, m in zip(extent, size, strict=True))
        if rows is not None and columns is not None:
            return self.avg_pool(name, x, (rows[0], columns[0]), (rows[1], columns[1]))
        spans = [
            [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
            for n, m in zip(extent, size, strict=True)
        ]
        means: list[str] = []
        for i, (top, bottom) in enumerate(spans[0]):
            for j, (left, right) in enumerate(spans[1]):
                stop = (channels, bottom, right)
                window = self.slice(f"{name}.{i}.{j}", x, (0, top, left), stop, (1, 1, 1))
                means.append(self.global_mean(f"{name}.{i}.{j}.mean", window))
        joined = self.concat(f"{name}.means", means)
        return self.rearrange(name, joined, (*size, channels), (2, 0, 1), (channels, *size))

    def global_max(self, name: str, x: str) -> str:
        """Add the maximum over the whole map, ``(C, H, W)`` to ``(C, 1, 1)``."""
        _, height, width = self.map_shape(name, x)
        return self.max_pool(name, x, (height, width), (height, width))

    def flatten(self, name: str, x: str) -> str:
        """Add a flattening; a vector stays as it is."""
        shape = self.shapes[x]
        if len(shape) == 1:
            return x
        return self.add_node(Flatten(name=name, output=name, x=x), (prod(shape),))

    def slice(
        self, name: str, x: str, start: Sequence[int], stop: Sequence[int], step: Sequence[int]
    ) -> str:
        """Add ``x[start:stop:step]``, one entry per axis, all bounds exact."""
        shape = tuple(len(range(*bounds)) for bounds in zip(start, stop, step, strict=True))
        node = Slice(
            name=name, output=name, x=x, start=tuple(start), stop=tuple(stop), step=tuple(step)
        )
        return self.add_node(node, shape)

    def pad(self, name: str, x: str, *, channels: Pair = (0, 0), padding: int | Pads = 0) -> str:
        """Add constant zero padding."""
        depth, height, width = self.map_shape(name, x)
        top, left, bottom, right = sides = pads(padding)
        node = Pad(name=name, output=name, x=x, channels=channels, padding=sides)
        shape = (depth + sum(channels), height + top + bottom, width + left + right)
        return self.add_node(node, shape)

    # ---- elementwise functions, products, changes of place ---------------------------------------------------------

    def table(self, name: str, x: str, function: Function, slope: Recipe | None = None) -> str:
        """Add a function of each element; ``slope`` is its parameter per channel."""
        shape = self.shapes[x]
        if slope is not None and slope.shape != shape[:1]:
            raise ShapeError(
                f"'{name}' has {slope.shape} slopes, but its input has {shape[0]} channels"
            )
        parameter = self.optional(f"{name}.slope", slope)
        node = Table(name=name, output=name, x=x, function=function, slope=parameter)
        return self.add_node(node, shape)

    def multiply(self, name: str, a: str, b: str) -> str:
        """Add a product; an axis of length 1 stands for any length, a vector for ``(C, 1, 1)``."""
        shapes = [self.shapes[a], self.shapes[b]]
        rank = max(map(len, shapes))
        first, second = (shape + (1,) * (rank - len(shape)) for shape in shapes)
        if any(m != n and min(m, n) != 1 for m, n in zip(first, second, strict=True)):
            raise ShapeError(f"'{name}' multiplies tensors of shapes {shapes[0]} and {shapes[1]}")
        shape = tuple(map(max, first, second))
        return self.add_node(Multiply(name=name, output=name, a=a, b=b), shape)

    def rearrange(
        self, name: str, x: str, view: Sequence[int], order: Sequence[int], shape: Shape
    ) -> str:
        """Add the elements seen as ``view``, its axes in ``order``, seen as ``shape``."""
        if len({prod(self.shapes[x]), prod(view), prod(shape)}) != 1:
            raise ShapeError(f"'{name}' sees {self.shapes[x]} as {tuple(view)} and {shape}")
        node = Rearrange(
            name=name, output=name, x=x, view=tuple(view), order=tuple(order), shape=shape
        )
        return self.add_node(node, shape)

    def take(self, name: str, x: str, indices: Sequence[Sequence[int] | None]) -> str:
        """Add chosen indices along every axis; ``None`` keeps an axis."""
        shape = self.shapes[x]
        chosen = tuple(None if one is None else tuple(one) for one in indices)
        pairs = list(zip(chosen, shape, strict=True))
        if any(one is not None and not all(0 <= i < n for i in one) for one, n in pairs):
            raise ShapeError(f"'{name}' takes elements outside of {shape}")
        result = tuple(n if one is None else len(one) for one, n in pairs)
        return self.add_node(Take(name=name, output=name, x=x, indices=chosen), result)

    def resample(self, name: str, x: str, rows: Sequence[Tap], columns: Sequence[Tap]) -> str:
        """Add a linear interpolation between rows and columns."""
        channels, *_ = self.map_shape(name, x)
        node = Resample(name=name, output=name, x=x, rows=tuple(rows), columns=tuple(columns))
        return self.add_node(node, (channels, len(rows), len(columns)))

    # ---- parts -----------------------------------------------------------------------------------------------------

    def parameter(self, name: str, recipe: Recipe) -> str:
        """Record a parameter and return its name."""
        self.parameters[name] = recipe
        return name

    def optional(self, name: str, recipe: Recipe | None) -> str | None:
        """Record a parameter where there is one."""
        return None if recipe is None else self.parameter(name, recipe)

    def map_shape(self, name: str, x: str) -> tuple[int, int, int]:
        """Return ``(C, H, W)`` of a feature map."""
        shape = self.shapes[x]
        if len(shape) != 3:
            raise ShapeError(
                f"'{name}' reads a feature map (channels, height, width), but its input has shape {shape}"
            )
        return shape[0], shape[1], shape[2]

    def add_node(self, node: Operator, shape: Shape) -> str:
        """Append an operator that defines a value of ``shape``."""
        if min(shape, default=0) < 1:
            raise ShapeError(f"'{node.name}' would give an empty tensor of shape {shape}")
        if prod(shape) > LARGEST:
            raise ShapeError(f"'{node.name}' would give a tensor beyond all reason, {shape}")
        if node.output in self.shapes:
            raise ShapeError(f"two operators are called '{node.name}'")
        self.nodes.append(node)
        self.shapes[node.output] = shape
        return node.output

    def _pool_padding(
        self, name: str, x: str, window: tuple[Pair, Pair, Pair], padding: Pads, *, ceil: bool
    ) -> Pads:
        if not ceil:
            return padding
        _, height, width = self.map_shape(name, x)
        (kh, kw), (sh, sw), (dh, dw) = window
        top, left, bottom, right = padding
        return (
            top,
            left,
            ceil_padding(height, (kh, sh, dh), top, bottom),
            ceil_padding(width, (kw, sw, dw), left, right),
        )

    def _pooled(self, name: str, x: str, window: tuple[Pair, Pair, Pair], padding: Pads) -> Shape:
        channels, height, width = self.map_shape(name, x)
        (kh, kw), (sh, sw), (dh, dw) = window
        top, left, bottom, right = padding
        return (
            channels,
            window_count(height + top + bottom, kh, sh, dh),
            window_count(width + left + right, kw, sw, dw),
        )
