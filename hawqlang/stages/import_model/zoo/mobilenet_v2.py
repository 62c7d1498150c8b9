"""MobileNet version 2, with the tensor names of torchvision.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
"""

from __future__ import annotations

from fractions import Fraction

from hawqlang.stages.import_model.builder import Builder

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels at width 1, blocks, stride of the first block."""


def mobilenet_v2(net: Builder, x: str, *, width: Fraction | int = 1, classes: int = 1000) -> str:
    """Return the logits; ``width`` multiplies the channels, rounded to multiples of 8."""
    x = _layer(net, "features.0", x, multiple_of_8(32 * width), 3, stride=2)
    index = 1
    for expansion, channels, count, stride in STAGES:
        for i in range(count):
            first = stride if i == 0 else 1
            x = _block(
                net, f"features.{index}", x, multiple_of_8(channels * width), expansion, first
            )
            index += 1
    x = _layer(net, f"features.{index}", x, multiple_of_8(1280 * max(1, width)), 1)
    x = net.flatten("flatten", net.global_mean("pool", x))
    return net.linear("classifier.1", x, classes)


def _block(net: Builder, name: str, x: str, channels: int, expansion: int, stride: int) -> str:
    incoming = net.shapes[x][0]
    hidden = incoming * expansion
    y = x
    layer = 0
    if expansion != 1:
        y = _layer(net, f"{name}.conv.0", y, hidden, 1)
        layer = 1
    y = _layer(net, f"{name}.conv.{layer}", y, hidden, 3, stride=stride, groups=hidden)
    y = net.conv(f"{name}.conv.{layer + 1}", y, channels, 1)
    y = net.batch_norm(f"{name}.conv.{layer + 2}", y)
    return net.add(f"{name}.add", x, y) if stride == 1 and incoming == channels else y


def _layer(  # noqa: PLR0913 - a layer's dimensions
    net: Builder, name: str, x: str, channels: int, kernel: int, stride: int = 1, *, groups: int = 1
) -> str:
    """Return convolution, batch norm and ReLU6, called ``.0``, ``.1`` and ``.2``."""
    half = (kernel - 1) // 2
    y = net.conv(f"{name}.0", x, channels, kernel, stride=stride, padding=half, groups=groups)
    return net.relu6(f"{name}.2", net.batch_norm(f"{name}.1", y))


def multiple_of_8(channels: Fraction | int) -> int:
    """Return the nearest multiple of 8, at least 8 and not below nine tenths of ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < channels * Fraction(9, 10) else rounded
