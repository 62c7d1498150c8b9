"""MnasNet-B1, with the tensor names of torchvision.

Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", figure 7.
"""

from __future__ import annotations

from fractions import Fraction

from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.zoo.mobilenet_v2 import multiple_of_8

STACKS = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)
"""Output channels at width 1, kernel, stride of the first block, expansion, blocks."""

LAST = 1280
"""Channels before the classifier, at any width."""


def mnasnet(net: Builder, x: str, *, width: Fraction, classes: int = 1000) -> str:
    """Return the logits; ``width`` multiplies the channels, rounded to multiples of 8."""
    first, second = multiple_of_8(32 * width), multiple_of_8(16 * width)
    x = net.relu("layers.2", _norm(net, "layers", 0, x, first, (3, 2, 1)))
    x = net.relu("layers.5", _norm(net, "layers", 3, x, first, (3, 1, first)))
    x = _norm(net, "layers", 6, x, second, (1, 1, 1))
    for place, (channels, kernel, stride, expansion, count) in enumerate(STACKS, start=8):
        for i in range(count):
            shape = (multiple_of_8(channels * width), kernel, stride if i == 0 else 1)
            x = _block(net, f"layers.{place}.{i}", x, shape, expansion)
    x = net.relu("layers.16", _norm(net, "layers", 14, x, LAST, (1, 1, 1)))
    x = net.flatten("flatten", net.global_mean("pool", x))
    return net.linear("classifier.1", x, classes)


def _block(net: Builder, name: str, x: str, shape: tuple[int, int, int], expansion: int) -> str:
    channels, kernel, stride = shape
    incoming = net.shapes[x][0]
    hidden = incoming * expansion
    inner = f"{name}.layers"
    y = net.relu(f"{inner}.2", _norm(net, inner, 0, x, hidden, (1, 1, 1)))
    y = net.relu(f"{inner}.5", _norm(net, inner, 3, y, hidden, (kernel, stride, hidden)))
    y = _norm(net, inner, 6, y, channels, (1, 1, 1))
    return net.add(f"{name}.add", y, x) if stride == 1 and incoming == channels else y


def _norm(
    net: Builder, name: str, place: int, x: str, channels: int, window: tuple[int, int, int]
) -> str:
    """Return convolution and batch norm at two places; ``window`` is kernel, stride and groups."""
    kernel, stride, groups = window
    y = net.conv(
        f"{name}.{place}", x, channels, kernel, stride=stride, padding=kernel // 2, groups=groups
    )
    return net.batch_norm(f"{name}.{place + 1}", y)
