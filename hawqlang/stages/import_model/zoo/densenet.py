"""DenseNet, with the tensor names of torchvision.

Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", table 1. A batch norm reads each
concatenation, so it cannot fold into a convolution and stays an operator of its own.
"""

from __future__ import annotations

import re

from hawqlang.stages.import_model.builder import Builder

BOTTLENECK = 4
"""Channels of a layer's 1x1 convolution per channel that the layer adds."""


def densenet(
    net: Builder, x: str, *, blocks: tuple[int, ...], growth: int, stem: int, classes: int = 1000
) -> str:
    """Return the logits of a network with ``blocks`` layers per block, each adding ``growth`` channels."""
    x = net.conv("features.conv0", x, stem, 7, stride=2, padding=3)
    x = net.relu("features.relu0", net.batch_norm("features.norm0", x))
    x = net.max_pool("features.pool0", x, 3, 2, padding=1)
    for number, count in enumerate(blocks, start=1):
        x = _block(net, f"features.denseblock{number}", x, count, growth)
        if number < len(blocks):
            x = _transition(net, f"features.transition{number}", x)
    x = net.relu("features.relu5", net.batch_norm("features.norm5", x))
    x = net.flatten("flatten", net.global_mean("avgpool", x))
    return net.linear("classifier", x, classes)


def _block(net: Builder, name: str, x: str, count: int, growth: int) -> str:
    features = [x]
    for number in range(1, count + 1):
        layer = f"{name}.denselayer{number}"
        y = x if number == 1 else net.concat(f"{layer}.concat", features)
        y = net.relu(f"{layer}.relu1", net.batch_norm(f"{layer}.norm1", y))
        y = net.conv(f"{layer}.conv1", y, BOTTLENECK * growth, 1)
        y = net.relu(f"{layer}.relu2", net.batch_norm(f"{layer}.norm2", y))
        features.append(net.conv(f"{layer}.conv2", y, growth, 3, padding=1))
    return net.concat(f"{name}.concat", features)


def _transition(net: Builder, name: str, x: str) -> str:
    half = net.shapes[x][0] // 2
    y = net.relu(f"{name}.relu", net.batch_norm(f"{name}.norm", x))
    return net.avg_pool(f"{name}.pool", net.conv(f"{name}.conv", y, half, 1), 2, 2)


def published_spelling(key: str) -> str:
    """Return how the published files call a tensor: ``denselayer1.norm.1`` for ``denselayer1.norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key)
