"""Synthetic samples in memory, and in the folder of an artifact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hawqlang.cache import TensorStore, digest
from hawqlang.ir.spec import ArraysData, Dataset, ImageInput, Input, PythonData, ZeroShotData
from hawqlang.ir.synthetic import Synthetic
from hawqlang.stages.data.made import ARRAYS, write_arrays
from hawqlang.stages.data.samples import Labels, UInt8

SHEET = "calibration.png"
"""The same to look at."""

SHOWN = 256
"""Most images of a contact sheet."""

SIDE = 64
"""Images smaller than this are enlarged by a whole number."""

GAP = 2


@dataclass(frozen=True, slots=True)
class SyntheticSamples:
    """Samples that were made from the network."""

    made: Synthetic
    images: UInt8
    labels: Labels
    """The class each was made for."""

    @property
    def digest(self) -> str:
        """The samples' bytes."""
        return digest("synthetic", self.made.images.digest)

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self.images)

    def batches(self, size: int) -> Iterator[UInt8]:
        """Yield all samples in order, ``size`` at a time."""
        return (self.images[a : a + size] for a in range(0, len(self.images), size))

    def take(self, indices: Sequence[int]) -> UInt8:
        """Return the samples at ``indices``, in that order."""
        return self.images[list(indices)]


def synthetic_samples(made: Synthetic, store: TensorStore) -> SyntheticSamples:
    """Return samples of the store."""
    return SyntheticSamples(made, store.get(made.images), store.get(made.classes))


def describe(made: Synthetic) -> str:
    """Return the samples as a card names them."""
    how = "from a generator, then refined" if made.method == "generator" else "from noise"
    return (
        f"{made.images.shape[0]} synthetic samples (zero_shot, {made.steps} steps), made {how} to match the network's "
        f"own {made.norms} batch norms (mismatch {made.mismatch:.2g}, of noise {made.noise:.2g}); "
        "no real sample entered calibration, sensitivity or correction"
    )


def write_samples(samples: SyntheticSamples, kind: Input, folder: Path) -> None:
    """Write samples as an ``.npz`` and, where they are images, as a contact sheet."""
    write_arrays(folder, samples.images, samples.labels)
    if isinstance(kind, ImageInput) and kind.channels in (1, 3):
        Image.fromarray(contact_sheet(samples.images[:SHOWN])).save(folder / SHEET)


def contact_sheet(images: UInt8) -> UInt8:
    """Return images ``(N, H, W, C)`` beside each other on white, ``(height, width, 3)``."""
    zoom = max(1, SIDE // max(images.shape[1:3]))
    tiles = np.broadcast_to(images, (*images.shape[:3], 3)).repeat(zoom, 1).repeat(zoom, 2)
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    sheet = np.full((rows * height + GAP, columns * width + GAP, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = (place // columns) * height + GAP, (place % columns) * width + GAP
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def stored_dataset(dataset: Dataset | None, folder: Path) -> Dataset | None:
    """Return a dataset whose made samples, for calibration, are those that an artifact in ``folder`` carries."""
    if dataset is None or not isinstance(dataset.calibration, ZeroShotData | PythonData):
        return dataset
    carried = ArraysData(
        path=str(folder / ARRAYS),
        images="x",
        labels="y",
        count=None,
        span=dataset.calibration.span,
    )
    return dataset.replace(calibration=carried)
