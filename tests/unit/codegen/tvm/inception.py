"""Inception version 3 (Szegedy et al., arXiv 1512.00567) as an integer program: its shapes, or with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from hawqlang.base import TensorRef
from hawqlang.ir.integer import IntegerProgram
from tests.semantics.programs import Builder, Pads

Size = int | tuple[int, int]
NOTHING = TensorRef(digest="", shape=(0,), dtype="int8")


class Shapes(Builder):
    """A builder that makes no constants; every tensor has the same coding."""

    def put(self, array: Any) -> Any:
        return NOTHING

    def kernel(self, shape: tuple[int, ...], bits: int, form: Any) -> Any:
        return NOTHING, np.zeros(0), None

    def bias_for(self, x: str, w: Any) -> tuple[Any, int]:
        return NOTHING, 1 << 20


def inception(b: Builder | None = None, side: int = 299) -> IntegerProgram:
    """The network for images of so many rows and columns, 75 at least."""
    b = b or Shapes(np.random.default_rng(0), zero_point=0)

    def conv(x: str, channels: int, size: Size = 1, stride: int = 1) -> str:
        tall, wide = (size, size) if isinstance(size, int) else size
        down, right = (tall // 2, wide // 2) if stride == 1 else (0, 0)
        pads: Pads = (down, right, down, right)
        return b.conv(
            x, channels, (tall, wide), stride=(stride, stride), padding=pads, signed=False
        )

    def chain(x: str, *layers: tuple[Any, ...]) -> str:
        for layer in layers:
            x = conv(x, *layer)
        return x

    def mean(x: str) -> str:
        return b.avg_pool(x, (3, 3), padding=(1, 1, 1, 1), counted=(1, 1, 1, 1))

    def most(x: str) -> str:
        return b.max_pool(x, (3, 3), stride=(2, 2), padding=(0, 0, 0, 0))

    x = b.affine(b.image(side, side, 3), signed=False)
    x = conv(conv(x, 32, 3, 2), 32, (3, 3), 1)
    x = most(conv(x, 64, 3))
    x = most(conv(conv(x, 80), 192, 3))
    for pool in (32, 64, 64):
        x = b.concat(
            conv(x, 64),
            chain(x, (48,), (64, 5)),
            chain(x, (64,), (96, 3), (96, 3)),
            conv(mean(x), pool),
        )
    x = b.concat(conv(x, 384, 3, 2), chain(x, (64,), (96, 3), (96, 3, 2)), most(x))
    for c in (128, 160, 160, 192):
        one, other = (1, 7), (7, 1)
        x = b.concat(
            conv(x, 192),
            chain(x, (c,), (c, one), (192, other)),
            chain(x, (c,), (c, other), (c, one), (c, other), (192, one)),
            conv(mean(x), 192),
        )
    deep = chain(x, (192,), (192, (1, 7)), (192, (7, 1)), (192, 3, 2))
    x = b.concat(chain(x, (192,), (320, 3, 2)), deep, most(x))
    for _ in range(2):
        fork, deep = conv(x, 384), chain(x, (448,), (384, 3))
        x = b.concat(
            conv(x, 320),
            b.concat(conv(fork, 384, (1, 3)), conv(fork, 384, (3, 1))),
            b.concat(conv(deep, 384, (1, 3)), conv(deep, 384, (3, 1))),
            conv(mean(x), 192),
        )
    rows, columns, _ = b.tensors[x].shape
    x = b.avg_pool(x, (rows, columns))
    return b.program(b.linear(b.flatten(x), 1000, bits=(32,)), "inception")
