"""Samples as a network sees them, a few at a time, so that memory stays bounded whatever is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import Input
from hawqlang.stages.data.samples import Samples
from hawqlang.stages.float_model import preprocess

CHUNK_BYTES = 16 * 2**20
"""Bound of one float32 activation of the samples computed together."""

LARGEST_CHUNK = 64

GRADIENT_BYTES = 2**30
"""Bound of what is kept of a batch to differentiate it."""

LEAST_GRADIENT_BATCH = 8
"""Statistics and gradients of fewer samples mean little."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Samples that can be gone through any number of times."""

    count: int
    batches: Callable[[int], Iterator[torch.Tensor]]
    """Gives all samples in order, float32 ``(N, ...)``, ``N`` at most what is asked for."""

    def first(self, count: int) -> Stream:
        """Return the first ``count`` samples, or all where there are fewer."""
        return Stream(min(count, self.count), lambda size: _first(self.batches(size), count))


def stream(samples: Samples, kind: Input) -> Stream:
    """Return samples on disk as the network sees them."""
    return Stream(
        len(samples), lambda size: (preprocess(batch, kind) for batch in samples.batches(size))
    )


def stream_of(x: torch.Tensor) -> Stream:
    """Return samples in memory, ``(N, ...)``."""
    return Stream(len(x), lambda size: (x[a : a + size] for a in range(0, len(x), size)))


def chunk_size(graph: Graph) -> int:
    """Return how many samples are computed together."""
    largest = max(math.prod(value.shape) for value in graph.values)
    return max(1, min(LARGEST_CHUNK, CHUNK_BYTES // (4 * largest)))


def gradient_batch(graph: Graph, count: int, bytes_each: int) -> int:
    """Return how many of ``count`` samples are differentiated together.

    Args:
        graph: The network.
        count: Samples there are.
        bytes_each: What is kept of every element of every value.
    """
    kept = bytes_each * sum(math.prod(value.shape) for value in graph.values)
    room = GRADIENT_BYTES // max(kept, 1)
    return min(count, max(LEAST_GRADIENT_BATCH, min(LARGEST_CHUNK, room)))


def _first(batches: Iterator[torch.Tensor], count: int) -> Iterator[torch.Tensor]:
    for batch in batches:
        if count <= 0:
            return
        yield batch[:count]
        count -= len(batch)
