"""The networks of the benchmarks as torch modules: the twins that other runtimes are given.

Module names are those of the compiler's zoo, so that one ``state_dict`` serves both. Weights are
random and seeded; batch-norm statistics come from a pass over random images, so activations have
the ranges of a real network. Good for latency, compile time and memory, meaningless for accuracy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from inception import InceptionV3
from torch import nn
from torch.nn import functional

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

EXPANSION = 4
BATCH = 4


def normalized(channels: int, eps: float = 1e-5) -> nn.BatchNorm2d:
    """Return a batch norm that takes the statistics of its last batch as they are."""
    return nn.BatchNorm2d(channels, eps=eps, momentum=1.0)


class Block(nn.Module):
    """Basic (two 3 x 3) or bottleneck (1 x 1, 3 x 3, 1 x 1) residual block."""

    def __init__(self, inputs: int, channels: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        outputs = channels * (EXPANSION if bottleneck else 1)
        shapes = (
            [(inputs, channels, 1, 1), (channels, channels, 3, stride), (channels, outputs, 1, 1)]
            if bottleneck
            else [(inputs, channels, 3, stride), (channels, channels, 3, 1)]
        )
        self.depth = len(shapes)
        for i, (a, b, kernel, step) in enumerate(shapes, 1):
            conv = nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", normalized(b))
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, normalized(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``relu(branch(x) + shortcut(x))``."""
        y = x
        for i in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = functional.relu(y) if i < self.depth else y
        return functional.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """ResNet for 224 x 224 images; in a bottleneck the 3 x 3 convolution carries the stride."""

    def __init__(self, blocks: tuple[int, ...], *, bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = normalized(64)
        inputs = 64
        for stage, count in enumerate(blocks, 1):
            layers: list[nn.Module] = []
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                channels = 32 * 2**stage
                layers.append(Block(inputs, channels, stride, bottleneck=bottleneck))
                inputs = channels * (EXPANSION if bottleneck else 1)
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1 x 1 and 3 x 3, concatenate."""

    def __init__(self, inputs: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, 4 * squeeze, 1)
        self.expand3x3 = nn.Conv2d(squeeze, 4 * squeeze, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the concatenation of both expansions."""
        x = functional.relu(self.squeeze1x1(x))
        return torch.cat(
            [functional.relu(self.expand1x1(x)), functional.relu(self.expand3x3(x))], 1
        )


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1."""

    SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 2)
        inputs = 64
        for number, squeeze in enumerate(self.SQUEEZE, 2):
            self.add_module(f"fire{number}", Fire(inputs, squeeze))
            inputs = 8 * squeeze
        self.conv10 = nn.Conv2d(512, 1000, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 3, 2, ceil_mode=True)
        for number in range(2, 10):
            x = self.get_submodule(f"fire{number}")(x)
            if number in (3, 5):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return torch.flatten(functional.adaptive_avg_pool2d(functional.relu(self.conv10(x)), 1), 1)


class MobileNetV1(nn.Module):
    """MobileNet version 1; a strided convolution pads on the right and at the bottom only."""

    BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *5 * ((512, 1),))
    TAIL = ((1024, 2), (1024, 1))

    def __init__(self, width: float) -> None:
        super().__init__()
        inputs = int(32 * width)
        self._layer("conv1", nn.Conv2d(3, inputs, 3, 2, bias=False))
        self.strides = [stride for _, stride in (*self.BLOCKS, *self.TAIL)]
        for k, (channels, stride) in enumerate((*self.BLOCKS, *self.TAIL), 1):
            outputs = int(channels * width)
            deep = nn.Conv2d(inputs, inputs, 3, stride, 2 - stride, groups=inputs, bias=False)
            self._layer(f"conv_dw_{k}", deep)
            self._layer(f"conv_pw_{k}", nn.Conv2d(inputs, outputs, 1, bias=False))
            inputs = outputs
        self.conv_preds = nn.Conv2d(inputs, 1000, 1)

    def _layer(self, name: str, conv: nn.Conv2d) -> None:
        self.add_module(name, conv)
        self.add_module(f"{name}_bn", normalized(conv.out_channels, eps=1e-3))

    def _apply_layer(self, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        x = functional.pad(x, (0, 1, 0, 1)) if stride == 2 else x
        y = self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x))
        return functional.relu6(y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self._apply_layer("conv1", x, 2)
        for k, stride in enumerate(self.strides, 1):
            x = self._apply_layer(f"conv_dw_{k}", x, stride)
            x = self._apply_layer(f"conv_pw_{k}", x, 1)
        return torch.flatten(self.conv_preds(functional.adaptive_avg_pool2d(x, 1)), 1)


class Inverted(nn.Module):
    """Inverted residual block: expand by 1 x 1, depthwise 3 x 3, project by 1 x 1."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [relu6_layer(inputs, hidden, 1)]
        layers.append(relu6_layer(hidden, hidden, 3, stride, groups=hidden))
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), normalized(outputs)]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's result, with its input added where the shapes agree."""
        y = self.conv(x)
        return x + y if self.shortcut else y


def relu6_layer(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return convolution, batch norm and ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, normalized(outputs), nn.ReLU6())


class MobileNetV2(nn.Module):
    """MobileNet version 2 at width 1."""

    STAGES = (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    )

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [relu6_layer(3, 32, 3, 2)]
        inputs = 32
        for expansion, channels, count, stride in self.STAGES:
            for i in range(count):
                layers.append(Inverted(inputs, channels, expansion, stride if i == 0 else 1))
                inputs = channels
        self.features = nn.Sequential(*layers, relu6_layer(inputs, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(torch.flatten(x, 1))


class CifarBlock(nn.Module):
    """Basic block whose shortcut takes every other pixel and pads the new channels with zeros."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == channels else 2
        self.conv1 = nn.Conv2d(inputs, channels, 3, self.stride, 1, bias=False)
        self.bn1 = normalized(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = normalized(channels)
        self.grow = (channels - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``relu(branch(x) + shortcut(x))``."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow, self.grow))
        return functional.relu(y + x)


class CifarResNet(nn.Module):
    """ResNet for 32 x 32 images, of ``6n + 2`` layers."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = normalized(16)
        inputs = 16
        for stage, channels in enumerate((16, 32, 64), 1):
            blocks: list[nn.Module] = []
            for _ in range((depth - 2) // 6):
                blocks.append(CifarBlock(inputs, channels))
                inputs = channels
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


@dataclass(frozen=True, slots=True)
class Net:
    """A network of the benchmarks: how it is made, and what its input means."""

    name: str
    source: str
    """What a spec says after ``source =``; empty for a network that the compiler imports as ONNX."""
    side: int
    """Height and width of an image."""
    make: Callable[[], nn.Module]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def preprocess(self, pixels: Pixels) -> Floats:
        """Return float32 [N, 3, H, W]: what the network sees of uint8 [N, H, W, 3]."""
        scaled = (pixels / 255 - np.array(self.mean)) / np.array(self.std)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)

    def images(self, count: int, seed: int) -> Pixels:
        """Return random images with large and small structure, uint8 [N, H, W, 3]."""
        rng = np.random.default_rng(seed)
        image = np.zeros((count, self.side, self.side, 3))
        for cell in (1, 8, 56):
            grid = -(-self.side // cell)
            coarse = rng.normal(0, 40, (count, grid, grid, 3))
            fine = coarse.repeat(cell, axis=1).repeat(cell, axis=2)
            image += fine[:, : self.side, : self.side]
        return np.clip(image + 120, 0, 255).astype(np.uint8)

    def module(self, seed: int = 0) -> nn.Module:
        """Return the network with seeded weights and settled statistics, in evaluation mode."""
        torch.manual_seed(seed)
        module = self.make()
        with torch.no_grad():
            module.train()(torch.from_numpy(self.preprocess(self.images(BATCH, seed))))
        return module.eval()

    def spec(self, precision: str, folder: Path, batch: int = 1) -> str:
        """Return a spec that builds this network from the files of :func:`write_files`."""
        mean, std = (", ".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
        return f"""hawq 1

model {self.name} {{
{self._source(folder)}
  input   = image({self.side}, {self.side}, mean = [{mean}], std = [{std}])
}}

dataset noise {{
  calibration = arrays("{folder}/calibration.npz")
}}

target host {{
  device = cpu.x86_64
  batch  = {batch}
}}

quantize {self.name} on host with noise {{
  precision = {precision}
  emit tvm
}}
"""

    def _source(self, folder: Path) -> str:
        if not self.source:
            return f'  source  = onnx("{folder}/{self.name}.onnx")'
        return f'  source  = {self.source}\n  weights = file("{folder}/{self.name}.pt")'

    def export(self, folder: Path, batch: int = 1) -> Path:
        """Return the network as an ONNX file with its batch norms folded, written where it is absent."""
        path = folder / f"{self.name}{f'.b{batch}' if batch > 1 else ''}.onnx"
        if path.exists():
            return path
        module = self.make()
        module.load_state_dict(torch.load(folder / f"{self.name}.pt", weights_only=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (torch.zeros(batch, 3, self.side, self.side),),
                str(path),
                opset_version=17,
                dynamo=False,
                input_names=["image"],
                output_names=["logits"],
            )
        return path

    def write_files(self, folder: Path, count: int = 16, seed: int = 0) -> None:
        """Write ``NAME.pt`` (a state_dict) and ``calibration.npz`` (images, and top-1 as labels) where they are absent.

        A network that the zoo does not have is written as ONNX too.
        """
        if (folder / f"{self.name}.pt").exists() and (folder / "calibration.npz").exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        module, pixels = self.module(seed), self.images(count, seed + 1)
        with torch.no_grad():
            classes = module(torch.from_numpy(self.preprocess(pixels))).argmax(1).numpy()
        torch.save(module.state_dict(), folder / f"{self.name}.pt")
        np.savez(folder / "calibration.npz", x=pixels, y=classes)
        self.export(folder)


_HALF = (0.5, 0.5, 0.5)
NETS: dict[str, Net] = {
    net.name: net
    for net in (
        Net("resnet18", 'zoo("resnet18")', 224, lambda: ResNet((2, 2, 2, 2), bottleneck=False)),
        Net("resnet50", 'zoo("resnet50")', 224, lambda: ResNet((3, 4, 6, 3), bottleneck=True)),
        Net("inception_v3", "", 299, InceptionV3, mean=_HALF, std=_HALF),
        Net("squeezenet1_1", 'zoo("squeezenet1_1")', 227, SqueezeNet),
        Net("mobilenet_v2", 'zoo("mobilenet_v2")', 224, MobileNetV2),
        Net(
            "mobilenet_v1_025",
            'zoo("mobilenet_v1", width = 0.25)',
            224,
            lambda: MobileNetV1(0.25),
            mean=_HALF,
            std=_HALF,
        ),
        Net("cifar_resnet20", 'zoo("cifar_resnet20")', 32, lambda: CifarResNet(20)),
        Net("cifar_resnet32", 'zoo("cifar_resnet32")', 32, lambda: CifarResNet(32)),
        Net("cifar_resnet44", 'zoo("cifar_resnet44")', 32, lambda: CifarResNet(44)),
    )
}
