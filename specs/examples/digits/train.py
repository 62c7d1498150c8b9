"""Train the network of the quickstart on scikit-learn's handwritten digits.

It takes less than a minute on one core, in a development environment::

    python specs/examples/digits/train.py

It writes three files beside this script: ``digits.onnx`` (batch norm left in place, for the
compiler to fold), ``digits_calib.npz`` and ``digits_eval.npz`` (``x``: uint8 [N, 8, 8, 1] pixels,
``y``: uint8 [N] labels). The images are those of ``sklearn.datasets.load_digits``: 1797 digits of
8 x 8 pixels with values from 0 to 16, stored here as ``round(value * 255 / 16)``. A fixed
permutation holds 600 of them back. Training never sees those, and ``digits_eval.npz`` is exactly
those. Calibration images are training images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).resolve().parent
SEED = 20
EVALUATION = 600
CALIBRATION = 256
EPOCHS = 60
BATCH = 64
MEAN = 0.305
STD = 0.377


class Block(nn.Module):
    """Residual basic block; a strided 1 x 1 convolution is the shortcut where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``relu(branch(x) + shortcut(x))``."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.downsample(x))


class Digits(nn.Module):
    """Residual network of 12 weighted layers: float32 [N, 1, 8, 8] to logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


def load_split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training and held-out images (uint8 [N, 8, 8, 1]) and labels (uint8 [N])."""
    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.uint8)
    order = np.random.default_rng(SEED).permutation(len(pixels))
    held_out, training = order[:EVALUATION], order[EVALUATION:]
    return pixels[training], labels[training], pixels[held_out], labels[held_out]


def normalized(pixels: np.ndarray) -> torch.Tensor:
    """Return what the network sees: ``(pixel / 255 - mean) / std``, float32 [N, 1, 8, 8]."""
    scaled = (pixels.transpose(0, 3, 1, 2) / 255 - MEAN) / STD
    return torch.from_numpy(scaled.astype(np.float32))


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the batch moved by up to one pixel each way, edges filled with background."""
    padded = functional.pad(images, (1, 1, 1, 1), value=-MEAN / STD)
    down, right = torch.randint(0, 3, (2,), generator=generator).tolist()
    return padded[:, :, down : down + 8, right : right + 8]


def train(pixels: np.ndarray, labels: np.ndarray) -> Digits:
    """Return the trained network in evaluation mode; the same on every run of one machine."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    network = Digits()
    images, targets = normalized(pixels), torch.from_numpy(labels.astype(np.int64))
    steps = EPOCHS * -(-len(images) // BATCH)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images), generator=generator).split(BATCH):
            loss = functional.cross_entropy(
                network(shifted(images[chosen], generator)), targets[chosen], label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: Digits, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest logit is the label's."""
    with torch.no_grad():
        found = network(normalized(pixels)).argmax(1).numpy()
    return float((found == labels).mean())


def export(network: Digits, path: Path) -> None:
    """Write the network as ONNX with module-path initializer names and its batch norms unfolded.

    The TorchScript exporter needs no further package. ``PRESERVE`` and no constant folding keep it
    from merging batch norms into the convolutions, which is the compiler's work to show.
    """
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 8, 8),),
        str(path),
        opset_version=17,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
    )


def main() -> None:
    """Train, report, write."""
    torch.set_num_threads(1)
    train_x, train_y, eval_x, eval_y = load_split()
    network = train(train_x, train_y)
    parameters = sum(p.numel() for p in network.parameters())
    print(
        f"{parameters} parameters, training {accuracy(network, train_x, train_y):.2%}, "
        f"held out {accuracy(network, eval_x, eval_y):.2%} of {len(eval_x)}"
    )
    export(network, FOLDER / "digits.onnx")
    np.savez_compressed(
        FOLDER / "digits_calib.npz", x=train_x[:CALIBRATION], y=train_y[:CALIBRATION]
    )
    np.savez_compressed(FOLDER / "digits_eval.npz", x=eval_x, y=eval_y)


if __name__ == "__main__":
    main()
