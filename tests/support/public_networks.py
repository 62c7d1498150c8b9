"""More public networks in PyTorch under their usual names, written independently of the zoo."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from tests.support.networks import Bottleneck


class WideBottleneck(Bottleneck):
    """Bottleneck whose 3x3 convolution is wider and may have groups."""

    factor = 1
    groups = 1

    def __init__(self, incoming: int, channels: int, stride: int) -> None:
        super().__init__(incoming, channels, stride)
        width = channels * self.factor
        self.conv1 = nn.Conv2d(incoming, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=self.groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * channels, 1, bias=False)


def wide(factor: int, groups: int) -> type[WideBottleneck]:
    """A block of wide ResNet or ResNeXt."""
    return type("Block", (WideBottleneck,), {"factor": factor, "groups": groups})


class VGG(nn.Module):
    """VGG from the usual list of channels and pools."""

    def __init__(self, channels: str, *, norm: bool, classes: int = 1000) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        incoming = 3
        for word in channels.split():
            if word == "M":
                parts.append(nn.MaxPool2d(2, 2))
                continue
            parts.append(nn.Conv2d(incoming, int(word), 3, padding=1))
            parts += [nn.BatchNorm2d(int(word))] if norm else []
            parts.append(nn.ReLU(inplace=True))
            incoming = int(word)
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 49, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )


class AlexNet(nn.Module):
    """AlexNet in its one-column form."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 36, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )


class Normed(nn.Module):
    """A layer of GoogLeNet."""

    def __init__(self, incoming: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(incoming, channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """A block of GoogLeNet."""

    def __init__(self, incoming: int, sizes: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, r3, c3, r5, c5, pooled = sizes
        self.branch1 = Normed(incoming, one, 1)
        self.branch2 = nn.Sequential(Normed(incoming, r3, 1), Normed(r3, c3, 3))
        self.branch3 = nn.Sequential(Normed(incoming, r5, 1), Normed(r5, c5, 3))
        pool = nn.MaxPool2d(3, 1, 1, ceil_mode=True)
        self.branch4 = nn.Sequential(pool, Normed(incoming, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """GoogLeNet without its classifiers for training."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = Normed(3, 64, 7, 2)
        self.conv2 = Normed(64, 64, 1)
        self.conv3 = Normed(64, 192, 3)
        self.inception3a = Inception(192, (64, 96, 128, 16, 32, 32))
        self.inception3b = Inception(256, (128, 128, 192, 32, 96, 64))
        self.inception4a = Inception(480, (192, 96, 208, 16, 48, 64))
        self.inception4b = Inception(512, (160, 112, 224, 24, 64, 64))
        self.inception4c = Inception(512, (128, 128, 256, 24, 64, 64))
        self.inception4d = Inception(512, (112, 144, 288, 32, 64, 64))
        self.inception4e = Inception(528, (256, 160, 320, 32, 128, 128))
        self.inception5a = Inception(832, (256, 160, 320, 32, 128, 128))
        self.inception5b = Inception(832, (384, 192, 384, 48, 128, 128))
        self.fc = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.inception3b(self.inception3a(x)), 3, 2, ceil_mode=True)
        x = self.inception4c(self.inception4b(self.inception4a(x)))
        x = F.max_pool2d(self.inception4e(self.inception4d(x)), 2, 2, ceil_mode=True)
        x = self.inception5b(self.inception5a(x))
        return self.fc(x.mean((2, 3)))


class DenseLayer(nn.Module):
    """A layer of DenseNet, which reads all before it."""

    def __init__(self, incoming: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(incoming)
        self.conv1 = nn.Conv2d(incoming, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    """What halves channels and map between blocks of DenseNet."""

    def __init__(self, incoming: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(incoming)
        self.conv = nn.Conv2d(incoming, incoming // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2, 2)


class DenseNet(nn.Module):
    """DenseNet."""

    def __init__(
        self, blocks: tuple[int, ...], growth: int = 32, stem: int = 64, classes: int = 1000
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, stem, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(stem))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        width = stem
        for i, count in enumerate(blocks, start=1):
            block = nn.Sequential()
            for j in range(1, count + 1):
                block.add_module(f"denselayer{j}", DenseLayer(width, growth))
                width += growth
            self.features.add_module(f"denseblock{i}", block)
            if i < len(blocks):
                self.features.add_module(f"transition{i}", Transition(width))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class Separated(nn.Module):
    """An inverted residual of MnasNet."""

    def __init__(self, incoming: int, channels: int, kernel: int, stride: int, grow: int) -> None:
        super().__init__()
        hidden = incoming * grow
        self.adds = stride == 1 and incoming == channels
        self.layers = nn.Sequential(
            nn.Conv2d(incoming, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x if self.adds else self.layers(x)


class MnasNet(nn.Module):
    """MnasNet with the channels of a width written out."""

    def __init__(self, channels: tuple[int, ...], classes: int = 1000) -> None:
        super().__init__()
        first, second, *rest = channels
        parts: list[nn.Module] = [
            nn.Conv2d(3, first, 3, 2, 1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, first, 3, 1, 1, groups=first, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 1, bias=False),
            nn.BatchNorm2d(second),
        ]
        incoming = second
        stacks = (
            (3, 2, 3, 3),
            (5, 2, 3, 3),
            (5, 2, 6, 3),
            (3, 1, 6, 2),
            (5, 2, 6, 4),
            (3, 1, 6, 1),
        )
        for out, (kernel, stride, grow, count) in zip(rest, stacks, strict=True):
            stack: list[nn.Module] = []
            for i in range(count):
                stack.append(Separated(incoming, out, kernel, 1 if i else stride, grow))
                incoming = out
            parts.append(nn.Sequential(*stack))
        parts += [nn.Conv2d(incoming, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU()]
        self.layers = nn.Sequential(*parts)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(x).mean((2, 3)))
