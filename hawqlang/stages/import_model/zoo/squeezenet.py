"""SqueezeNet 1.0 and 1.1.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size". Layers are called
as in the paper (``fire2.squeeze1x1``, ``conv10``); weight files may name them so, or as torchvision does
(``features.3.squeeze``, ``classifier.1``).
"""

from __future__ import annotations

from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.zoo.network import Spelling

SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""Channels of each fire module's squeeze convolution; each expand convolution has four times as many."""

POOLS = {"1_0": (4, 8), "1_1": (3, 5)}
"""Fire modules after which a max pool follows."""


def squeezenet(net: Builder, x: str, *, version: str, classes: int = 1000) -> str:
    """Return the logits of version ``1_0`` or ``1_1``."""
    channels, kernel = (96, 7) if version == "1_0" else (64, 3)
    x = net.relu("relu1", net.conv("conv1", x, channels, kernel, stride=2, bias=True))
    x = net.max_pool("pool1", x, 3, 2, ceil=True)
    for number, squeeze in SQUEEZE.items():
        x = _fire(net, f"fire{number}", x, squeeze)
        if number in POOLS[version]:
            x = net.max_pool(f"pool{number}", x, 3, 2, ceil=True)
    x = net.relu("relu10", net.conv("conv10", x, classes, 1, bias=True))
    return net.flatten("flatten", net.global_mean("pool10", x))


def _fire(net: Builder, name: str, x: str, squeeze: int) -> str:
    x = net.conv(f"{name}.squeeze1x1", x, squeeze, 1, bias=True)
    x = net.relu(f"{name}.relu_squeeze1x1", x)
    one = net.conv(f"{name}.expand1x1", x, 4 * squeeze, 1, bias=True)
    one = net.relu(f"{name}.relu_expand1x1", one)
    three = net.conv(f"{name}.expand3x3", x, 4 * squeeze, 3, padding=1, bias=True)
    three = net.relu(f"{name}.relu_expand3x3", three)
    return net.concat(f"{name}.concat", (one, three))


def torchvision_spelling(version: str) -> Spelling:
    """Return how torchvision calls a tensor of this version."""
    modules = {"conv1": "features.0", "conv10": "classifier.1"}
    index = 3
    for number in SQUEEZE:
        modules[f"fire{number}"] = f"features.{index}"
        index += 2 if number in POOLS[version] else 1

    def spelled(key: str) -> str:
        module, rest = key.split(".", 1)
        return f"{modules[module]}.{rest.replace('squeeze1x1', 'squeeze')}"

    return spelled
