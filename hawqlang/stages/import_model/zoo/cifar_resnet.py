"""ResNet for 32×32 images: three stages of basic blocks with 16, 32 and 64 channels.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", section 4.2: the shortcut of a block that
changes the shape takes every other pixel and pads the new channels with zeros (option A), without weights.
"""

from __future__ import annotations

from hawqlang.stages.import_model.builder import Builder


def cifar_resnet(net: Builder, x: str, *, depth: int, classes: int = 10) -> str:
    """Return the logits of a ``depth``-layer network, ``depth = 6n + 2``."""
    x = net.conv("conv1", x, 16, 3, padding=1)
    x = net.relu("relu", net.batch_norm("bn1", x))
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range((depth - 2) // 6):
            x = _block(net, f"layer{stage}.{block}", x, channels)
    x = net.flatten("flatten", net.global_mean("pool", x))
    return net.linear("linear", x, classes)


def _block(net: Builder, name: str, x: str, channels: int) -> str:
    incoming = net.shapes[x][0]
    stride = 1 if incoming == channels else 2
    y = net.conv(f"{name}.conv1", x, channels, 3, stride=stride, padding=1)
    y = net.relu(f"{name}.relu1", net.batch_norm(f"{name}.bn1", y))
    y = net.conv(f"{name}.conv2", y, channels, 3, padding=1)
    y = net.batch_norm(f"{name}.bn2", y)
    if stride != 1:
        grow = (channels - incoming) // 2
        x = net.slice(f"{name}.shortcut.slice", x, (0, 0, 0), net.shapes[x], (1, 2, 2))
        x = net.pad(f"{name}.shortcut.pad", x, channels=(grow, grow))
    return net.relu(f"{name}.relu2", net.add(f"{name}.add", y, x))
