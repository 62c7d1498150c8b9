"""ResNet for ImageNet, wide ResNet and ResNeXt, with the tensor names of torchvision.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", table 1. In a bottleneck the 3x3 convolution
carries the stride, as in the weights everybody uses ("v1.5"). Zagoruyko and Komodakis, "Wide Residual Networks"; Xie
et al., "Aggregated Residual Transformations for Deep Neural Networks": both change the 3x3 convolution alone, the one
its width, the other its groups too.
"""

from __future__ import annotations

from hawqlang.stages.import_model.builder import Builder

EXPANSION = 4
"""Output channels of a bottleneck per channel of its 3x3 convolution."""


def resnet(
    net: Builder,
    x: str,
    *,
    blocks: tuple[int, ...],
    bottleneck: tuple[int, int] | None,
    classes: int = 1000,
) -> str:
    """Return the logits of a network with ``blocks`` residual blocks per stage.

    ``bottleneck`` is the width of a bottleneck's 3x3 convolution, as a multiple of the usual one, and its groups.
    """
    x = net.conv("conv1", x, 64, 7, stride=2, padding=3)
    x = net.relu("relu", net.batch_norm("bn1", x))
    x = net.max_pool("maxpool", x, 3, 2, padding=1)
    for stage, count in enumerate(blocks, start=1):
        for i in range(count):
            stride = 2 if stage > 1 and i == 0 else 1
            name, channels = f"layer{stage}.{i}", 32 * 2**stage
            if bottleneck is None:
                x = _basic(net, name, x, channels, stride)
            else:
                x = _bottleneck(net, name, x, (channels, *bottleneck), stride)
    x = net.flatten("flatten", net.global_mean("avgpool", x))
    return net.linear("fc", x, classes)


def _basic(net: Builder, name: str, x: str, channels: int, stride: int) -> str:
    y = net.conv(f"{name}.conv1", x, channels, 3, stride=stride, padding=1)
    y = net.relu(f"{name}.relu1", net.batch_norm(f"{name}.bn1", y))
    y = net.conv(f"{name}.conv2", y, channels, 3, padding=1)
    return _join(net, name, net.batch_norm(f"{name}.bn2", y), x, stride)


def _bottleneck(net: Builder, name: str, x: str, shape: tuple[int, int, int], stride: int) -> str:
    channels, factor, groups = shape
    width = channels * factor
    y = net.conv(f"{name}.conv1", x, width, 1)
    y = net.relu(f"{name}.relu1", net.batch_norm(f"{name}.bn1", y))
    y = net.conv(f"{name}.conv2", y, width, 3, stride=stride, padding=1, groups=groups)
    y = net.relu(f"{name}.relu2", net.batch_norm(f"{name}.bn2", y))
    y = net.conv(f"{name}.conv3", y, channels * EXPANSION, 1)
    return _join(net, name, net.batch_norm(f"{name}.bn3", y), x, stride)


def _join(net: Builder, name: str, y: str, x: str, stride: int) -> str:
    """Return ``relu(y + shortcut)``; the shortcut has a convolution where the shape changes."""
    channels = net.shapes[y][0]
    if stride != 1 or net.shapes[x][0] != channels:
        x = net.conv(f"{name}.downsample.0", x, channels, 1, stride=stride)
        x = net.batch_norm(f"{name}.downsample.1", x)
    return net.relu(f"{name}.relu", net.add(f"{name}.add", y, x))
