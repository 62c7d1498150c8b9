"""MobileNet version 1, with the tensor names and the padding of its TensorFlow original.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", table 1.
"""

from __future__ import annotations

from fractions import Fraction

from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.windows import same_padding

EPSILON = 1e-3

BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *5 * ((512, 1),),
    (1024, 2),
    (1024, 1),
)
"""Output channels at width 1, and stride of the depthwise convolution."""


def mobilenet_v1(net: Builder, x: str, *, width: Fraction | int = 1, classes: int = 1000) -> str:
    """Return the logits; ``width`` multiplies the channels of every layer but the classifier."""
    x = _layer(net, "conv1", x, int(32 * width), 3, 2)
    for k, (channels, stride) in enumerate(BLOCKS, start=1):
        x = _layer(net, f"conv_dw_{k}", x, net.shapes[x][0], 3, stride, depthwise=True)
        x = _layer(net, f"conv_pw_{k}", x, int(channels * width), 1, 1)
    x = net.global_mean("pool", x)
    return net.flatten("flatten", net.conv("conv_preds", x, classes, 1, bias=True))


def _layer(  # noqa: PLR0913 - a layer's dimensions
    net: Builder,
    name: str,
    x: str,
    channels: int,
    kernel: int,
    stride: int,
    *,
    depthwise: bool = False,
) -> str:
    padding = same_padding(net.shapes[x][1:], (kernel, kernel), (stride, stride))
    groups = channels if depthwise else 1
    y = net.conv(name, x, channels, kernel, stride=stride, padding=padding, groups=groups)
    return net.relu6(f"{name}_relu", net.batch_norm(f"{name}_bn", y, epsilon=EPSILON))
