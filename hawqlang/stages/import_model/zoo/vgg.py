"""VGG with 11 to 19 layers, and AlexNet, with the tensor names of torchvision.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1; Krizhevsky, "One
weird trick for parallelizing convolutional neural networks". A layer is called by its place in ``features`` and
``classifier``, where activations, pools and dropouts count too.
"""

from __future__ import annotations

from hawqlang.stages.import_model.builder import Builder

BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions before each pool, by the number of layers."""

CHANNELS = (64, 128, 256, 512, 512)
HIDDEN = 4096


def vgg(net: Builder, x: str, *, layers: int, norm: bool, classes: int = 1000) -> str:
    """Return the logits of a network with or without batch norm."""
    place = 0
    for count, channels in zip(BLOCKS[layers], CHANNELS, strict=True):
        for _ in range(count):
            x = net.conv(f"features.{place}", x, channels, 3, padding=1, bias=True)
            if norm:
                place += 1
                x = net.batch_norm(f"features.{place}", x)
            x = net.relu(f"features.{place + 1}", x)
            place += 2
        x = net.max_pool(f"features.{place}", x, 2, 2)
        place += 1
    x = net.flatten("flatten", net.adaptive_mean("avgpool", x, (7, 7)))
    return _classifier(net, x, (0, 3, 6), classes)


def alexnet(net: Builder, x: str, *, classes: int = 1000) -> str:
    """Return the logits."""
    convolutions = ((0, 64, 11), (3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3))
    for place, channels, kernel in convolutions:
        stride, padding = (4, 2) if place == 0 else (1, kernel // 2)
        name = f"features.{place}"
        x = net.conv(name, x, channels, kernel, stride=stride, padding=padding, bias=True)
        x = net.relu(f"features.{place + 1}", x)
        if place in (0, 3, 10):
            x = net.max_pool(f"features.{place + 2}", x, 3, 2)
    x = net.flatten("flatten", net.adaptive_mean("avgpool", x, (6, 6)))
    return _classifier(net, x, (1, 4, 6), classes)


def _classifier(net: Builder, x: str, places: tuple[int, int, int], classes: int) -> str:
    for place in places[:2]:
        x = net.linear(f"classifier.{place}", x, HIDDEN)
        x = net.relu(f"classifier.{place}.relu", x)
    return net.linear(f"classifier.{places[2]}", x, classes)
