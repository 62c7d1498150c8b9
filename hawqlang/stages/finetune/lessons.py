"""Training samples: split once, shuffled and moved a little in every epoch, all of it decided by the seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hawqlang.ir.spec import ImageInput, Input
from hawqlang.stages.data.samples import Labels, Samples, UInt8, sample_shape
from hawqlang.stages.float_model import preprocess

HELD_OUT_EVERY = 8
"""Every eighth sample judges and is never trained on."""

MOST_HELD_OUT = 512

BYTES = 2**30
"""Samples up to this size are kept in memory; others are read again in every epoch."""

SHIFT = 8
"""Images are moved by up to an eighth of their size each way; edges are repeated."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Samples with their labels, as the network sees them."""

    samples: Samples
    labels: Labels
    kind: Input
    mirrored: bool
    """Whether images may be mirrored: only where the float network says what a mirror image is."""
    kept: UInt8 | None
    """All samples, where they fit into memory."""
    trained: npt.NDArray[np.int64]
    judged: npt.NDArray[np.int64]
    """Indices of the samples held out."""

    def epoch(
        self, seed: int, epoch: int, size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of an epoch, samples and labels; a last one of less than half is left out."""
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(self.trained)
        for k in range(self.steps(size)):
            chosen = order[k * size : (k + 1) * size]
            pixels = self._pixels(chosen)
            if isinstance(self.kind, ImageInput):
                pixels = moved(pixels, rng, mirrored=self.mirrored)
            yield preprocess(pixels, self.kind), torch.from_numpy(self.labels[chosen])

    def steps(self, size: int) -> int:
        """Return the batches of an epoch."""
        return max(1, round(len(self.trained) / size))

    def held_out(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the samples that judge, as they are."""
        for start in range(0, len(self.judged), size):
            chosen = self.judged[start : start + size]
            yield (
                preprocess(self._pixels(chosen), self.kind),
                torch.from_numpy(self.labels[chosen]),
            )

    def _pixels(self, chosen: npt.NDArray[np.int64]) -> UInt8:
        if self.kept is not None:
            return self.kept[chosen]
        return self.samples.take([int(i) for i in chosen])


def prepare(samples: Samples, labels: Labels, kind: Input, *, mirrored: bool) -> Lessons:
    """Return samples split into those that are trained on and those that judge."""
    count = len(samples)
    held = np.arange(HELD_OUT_EVERY - 1, count, HELD_OUT_EVERY)[:MOST_HELD_OUT]
    fits = count * prod(sample_shape(kind)) <= BYTES
    kept = np.concatenate(list(samples.batches(256))) if fits else None
    trained = np.setdiff1d(np.arange(count), held)
    return Lessons(samples, labels, kind, mirrored, kept, trained, held)


def moved(
    pixels: npt.NDArray[Any], rng: np.random.Generator, *, mirrored: bool
) -> npt.NDArray[Any]:
    """Return images ``(N, H, W, C)``, each shifted at random and perhaps mirrored."""
    count, height, width, _ = pixels.shape
    down, across = height // SHIFT, width // SHIFT
    padded = np.pad(pixels, ((0, 0), (down, down), (across, across), (0, 0)), mode="edge")
    drawn = rng.random((count, 3))
    tops = (drawn[:, 0] * (2 * down + 1)).astype(np.int64)
    lefts = (drawn[:, 1] * (2 * across + 1)).astype(np.int64)
    flips = (drawn[:, 2] < 0.5) & mirrored
    found = np.empty_like(pixels)
    for i, (top, left, flip) in enumerate(zip(tops, lefts, flips, strict=True)):
        own = padded[i, top : top + height, left : left + width]
        found[i] = own[:, ::-1] if flip else own
    return found
