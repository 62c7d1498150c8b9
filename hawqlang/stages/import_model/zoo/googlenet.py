"""GoogLeNet with batch norm, with the tensor names of torchvision.

Szegedy et al., "Going Deeper with Convolutions", table 1; in the branch that the paper gives a 5x5 convolution the
public weights have a 3x3 one. The public weights were trained on pixels of mean and deviation 0.5.
"""

from __future__ import annotations

from hawqlang.stages.import_model.builder import Builder

EPSILON = 1e-3

STAGES = (
    (
        "maxpool3",
        3,
        {"3a": (64, (96, 128), (16, 32), 32), "3b": (128, (128, 192), (32, 96), 64)},
    ),
    (
        "maxpool4",
        2,
        {
            "4a": (192, (96, 208), (16, 48), 64),
            "4b": (160, (112, 224), (24, 64), 64),
            "4c": (128, (128, 256), (24, 64), 64),
            "4d": (112, (144, 288), (32, 64), 64),
            "4e": (256, (160, 320), (32, 128), 128),
        },
    ),
    (
        "",
        0,
        {"5a": (256, (160, 320), (32, 128), 128), "5b": (384, (192, 384), (48, 128), 128)},
    ),
)
"""The pool after a stage, its kernel, and channels by block: 1x1; 1x1 then 3x3, twice; 1x1 after the pool."""

TRAINING_ONLY = ("aux1.", "aux2.")
"""Classifiers that only training uses; weight files may hold them."""


def googlenet(net: Builder, x: str, *, classes: int = 1000) -> str:
    """Return the logits."""
    x = _layer(net, "conv1", x, 64, 7, stride=2)
    x = net.max_pool("maxpool1", x, 3, 2, ceil=True)
    x = _layer(net, "conv2", x, 64, 1)
    x = _layer(net, "conv3", x, 192, 3)
    x = net.max_pool("maxpool2", x, 3, 2, ceil=True)
    for pool, kernel, blocks in STAGES:
        for name, (one, first, second, projected) in blocks.items():
            x = _inception(net, f"inception{name}", x, (one, projected), (first, second))
        if pool:
            x = net.max_pool(pool, x, kernel, 2, ceil=True)
    x = net.flatten("flatten", net.global_mean("avgpool", x))
    return net.linear("fc", x, classes)


def _inception(
    net: Builder,
    name: str,
    x: str,
    ones: tuple[int, int],
    threes: tuple[tuple[int, int], tuple[int, int]],
) -> str:
    branches = [_layer(net, f"{name}.branch1", x, ones[0], 1)]
    for number, (squeezed, channels) in enumerate(threes, start=2):
        y = _layer(net, f"{name}.branch{number}.0", x, squeezed, 1)
        branches.append(_layer(net, f"{name}.branch{number}.1", y, channels, 3))
    pooled = net.max_pool(f"{name}.branch4.0", x, 3, 1, padding=1, ceil=True)
    branches.append(_layer(net, f"{name}.branch4.1", pooled, ones[1], 1))
    return net.concat(f"{name}.concat", branches)


def _layer(net: Builder, name: str, x: str, channels: int, kernel: int, *, stride: int = 1) -> str:
    y = net.conv(f"{name}.conv", x, channels, kernel, stride=stride, padding=kernel // 2)
    return net.relu(f"{name}.relu", net.batch_norm(f"{name}.bn", y, epsilon=EPSILON))
