"""Networks in PyTorch, written independently of the zoo: what its definitions are compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn


class CifarBlock(nn.Module):
    """Basic block with a padded, strided shortcut."""

    def __init__(self, incoming: int, channels: int) -> None:
        super().__init__()
        stride = 1 if incoming == channels else 2
        self.conv1 = nn.Conv2d(incoming, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.grow = (channels - incoming) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grow:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow, self.grow))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """ResNet20 and its longer siblings."""

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(CifarBlock(16, 16) for _ in range(n)))
        self.layer2 = nn.Sequential(*(CifarBlock(32 if i else 16, 32) for i in range(n)))
        self.layer3 = nn.Sequential(*(CifarBlock(64 if i else 32, 64) for i in range(n)))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class Basic(nn.Module):
    """Residual block of ResNet-18 and 34."""

    expansion = 1

    def __init__(self, incoming: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(incoming, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Residual block of ResNet-50."""

    expansion = 4

    def __init__(self, incoming: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.relu = nn.ReLU()
        self.downsample = shortcut(incoming, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def shortcut(incoming: int, channels: int, stride: int) -> nn.Sequential | None:
    """The convolution beside a block that changes the shape."""
    if stride == 1 and incoming == channels:
        return None
    return nn.Sequential(
        nn.Conv2d(incoming, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
    )


class ResNet(nn.Module):
    """ResNet for ImageNet."""

    def __init__(
        self, block: type[Basic | Bottleneck], counts: tuple[int, ...], classes: int = 1000
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        incoming = 64
        for i, count in enumerate(counts):
            channels = 64 * 2**i
            blocks: list[nn.Module] = []
            for j in range(count):
                blocks.append(block(incoming, channels, 2 if i and not j else 1))
                incoming = channels * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(incoming, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Fire(nn.Module):
    """Fire module with torchvision's names."""

    def __init__(self, incoming: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(incoming, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, 4 * squeeze, 1)
        self.expand3x3 = nn.Conv2d(squeeze, 4 * squeeze, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet with torchvision's names."""

    def __init__(self, version: str, classes: int = 1000) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        first = nn.Conv2d(3, 96, 7, 2) if version == "1_0" else nn.Conv2d(3, 64, 3, 2)
        fires = (16, 16, 32, 32, 48, 48, 64, 64)
        pools = (2, 6) if version == "1_0" else (1, 3)
        parts: list[nn.Module] = [first, nn.ReLU(), pool()]
        incoming = first.out_channels
        for i, squeeze in enumerate(fires):
            parts.append(Fire(incoming, squeeze))
            incoming = 8 * squeeze
            if i in pools:
                parts.append(pool())
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


class MobileNetV1(nn.Module):
    """MobileNet with the padding of TensorFlow."""

    def __init__(self, width: float, classes: int = 1000) -> None:
        super().__init__()
        self.strides = [2, *(2 if k in (2, 4, 6, 12) else 1 for k in range(1, 14))]
        channels = [int(32 * width)]
        self.conv1 = nn.Conv2d(3, channels[0], 3, 2, bias=False)
        self.conv1_bn = nn.BatchNorm2d(channels[0], eps=1e-3)
        sizes = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
        for k, size in enumerate(sizes, 1):
            i, o = channels[-1], int(size * width)
            stride = self.strides[k]
            padding = 1 if stride == 1 else 0
            setattr(self, f"conv_dw_{k}", nn.Conv2d(i, i, 3, stride, padding, groups=i, bias=False))
            setattr(self, f"conv_dw_{k}_bn", nn.BatchNorm2d(i, eps=1e-3))
            setattr(self, f"conv_pw_{k}", nn.Conv2d(i, o, 1, bias=False))
            setattr(self, f"conv_pw_{k}_bn", nn.BatchNorm2d(o, eps=1e-3))
            channels.append(o)
        self.conv_preds = nn.Conv2d(channels[-1], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.conv1_bn(self.conv1(F.pad(x, (0, 1, 0, 1)))))
        for k in range(1, 14):
            if self.strides[k] == 2:
                x = F.pad(x, (0, 1, 0, 1))
            for part in (f"conv_dw_{k}", f"conv_pw_{k}"):
                x = F.relu6(getattr(self, f"{part}_bn")(getattr(self, part)(x)))
        return self.conv_preds(F.adaptive_avg_pool2d(x, 1)).flatten(1)


class Inverted(nn.Module):
    """Inverted residual of MobileNet version 2."""

    def __init__(self, incoming: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = incoming * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [conv_bn_relu6(incoming, hidden, 1, 1)]
        layers += [
            conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and incoming == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def conv_bn_relu6(
    incoming: int, channels: int, kernel: int, stride: int, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm and ReLU6."""
    conv = nn.Conv2d(incoming, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6())


class MobileNetV2(nn.Module):
    """MobileNet version 2 with torchvision's names, at width 1."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        table = (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        )
        parts: list[nn.Module] = [conv_bn_relu6(3, 32, 3, 2)]
        incoming = 32
        for t, c, n, s in table:
            for i in range(n):
                parts.append(Inverted(incoming, c, s if i == 0 else 1, t))
                incoming = c
        parts.append(conv_bn_relu6(320, 1280, 1, 1))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SmallNet(nn.Module):
    """Two convolutions and a linear layer for grey 8 x 8 images; ``nn.Identity`` leaves batch norm out."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = norm(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 2)
        self.bn2 = norm(8)
        self.fc = nn.Linear(72, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(torch.flatten(x, 1))
