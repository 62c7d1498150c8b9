"""Single layers drawn by Hypothesis, several to a program, every number of them free within what int32 sums allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from hypothesis import strategies as st

from hawqlang.arith import width
from tests.semantics.families import Case
from tests.semantics.programs import Builder, Pads, Pair, WeightForm

Kind = Literal["dense", "grouped", "depthwise", "linear"]
Source = Literal["image", "signed", "unsigned"]
CHANNELS = st.one_of(
    st.sampled_from([1, 3, 4, 5, 15, 16, 17, 32, 33, 48, 64, 96]), st.integers(1, 2048)
)
MOST_ELEMENTS = 16384
"""Of the image: even a linear layer of weights from -255 to 255 then fits int32."""
MOST_WEIGHT = width.INT32_MAX // (2 * 255)
"""Sum of magnitudes of a channel's weights; the bias and the input's zero point take as much again."""
MOST_WORK = 1_500_000
"""Multiply-accumulates of a layer."""


@dataclass(frozen=True)
class Layer:
    """What is drawn of a layer; ``add`` reduces what a program cannot have."""

    kind: Kind
    source: Source
    channels: int
    groups: int
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Pads
    bits: Literal[4, 8]
    affine: bool
    constant: Literal[-1, 0, 1]
    """Sign of weights that are all as large as they can be; 0: random ones."""
    wide: bool

    def add(self, b: Builder, x: str) -> None:
        """Append the layer to a program, reading ``x``."""
        height, breadth, depth = b.tensors[x].shape
        form = WeightForm(affine=self.affine)
        low, high = width.weight_range(self.bits)
        largest = 2**self.bits - 1 if self.affine else high
        b.constant = {-1: low, 0: None, 1: high}[self.constant]
        if self.kind == "linear":
            features = max(1, min(self.channels, MOST_WORK // (height * breadth * depth)))
            flat = b.flatten(x)
            b.linear(flat, features, weight_bits=self.bits, bits=(32, 8), wide=self.wide, form=form)
            return
        groups = depth if self.kind == "depthwise" else np.gcd(self.groups, depth).item()
        groups = 1 if self.kind == "dense" else groups
        terms = depth // groups
        kernel = self.kernel
        if kernel[0] * kernel[1] * terms * largest > MOST_WEIGHT:
            kernel = (1, 1)
        padding = self.fitting(kernel, (height, breadth))
        work = height * breadth * kernel[0] * kernel[1] * terms
        channels = max(1, min(self.channels, MOST_WORK // work) // groups) * groups
        b.conv(
            x,
            depth if self.kind == "depthwise" else channels,
            kernel,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=groups,
            weight_bits=self.bits,
            bits=(32, 8),
            wide=self.wide,
            form=form,
        )

    def fitting(self, kernel: Pair, size: Pair) -> Pads:
        """The padding, within the window's reach and enough for one output pixel."""
        reach = [d * (k - 1) for d, k in zip(self.dilation, kernel, strict=True)]
        before = [min(self.padding[i], reach[i]) for i in range(2)]
        after = [
            max(min(self.padding[2 + i], reach[i]), reach[i] + 1 - size[i] - before[i])
            for i in range(2)
        ]
        return before[0], before[1], after[0], after[1]


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    """Two numbers from ``low`` to ``high``, often equal."""
    one = st.integers(low, high)
    return st.one_of(one.map(lambda n: (n, n)), st.tuples(one, one))


LAYERS: st.SearchStrategy[Layer] = st.builds(
    Layer,
    kind=st.sampled_from(["dense", "dense", "grouped", "depthwise", "linear"]),
    source=st.sampled_from(["image", "signed", "unsigned"]),
    channels=CHANNELS,
    groups=st.sampled_from([2, 3, 4, 8, 16, 32]),
    kernel=st.one_of(st.sampled_from([(1, 1), (3, 3)]), pairs(1, 7)),
    stride=st.one_of(st.just((1, 1)), pairs(1, 3)),
    dilation=st.one_of(st.just((1, 1)), pairs(1, 3)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    bits=st.sampled_from([4, 8]),
    affine=st.sampled_from([False, False, True]),
    constant=st.sampled_from([-1, 0, 0, 1]),
    wide=st.sampled_from([False, False, False, True]),
)


@st.composite
def programs(draw: st.DrawFn, layers: int) -> Case:
    """A program of so many layers side by side, on an image and two tensors of its size with zero points."""
    depth = draw(CHANNELS)
    side = st.integers(1, max(1, min(20, int((MOST_ELEMENTS // depth) ** 0.5))))
    b = Builder(np.random.default_rng(draw(st.integers(0, 2**32))))
    image = b.image(draw(side), draw(side), depth)
    sources: dict[str, str] = {"image": image}
    for layer in draw(st.lists(LAYERS, min_size=1, max_size=layers)):
        if layer.source not in sources:
            sources[layer.source] = b.affine(image, signed=layer.source == "signed")
        layer.add(b, sources[layer.source])
    b.constant = None
    height, breadth, _ = b.tensors[image].shape
    pooled = b.avg_pool(image, (height, breadth))
    return b.program(b.linear(b.flatten(pooled), 3, bits=(32,)), "layers"), b.store
