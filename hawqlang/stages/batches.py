"""How many samples go through a network at once, so that memory stays bounded whatever is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch

from hawqlang.ir.graph import Graph

CHUNK_BYTES = 16 * 2**20
"""Bound of one float32 activation of the samples computed together."""

LARGEST_CHUNK = 64


def chunk_size(graph: Graph, share: int = 1) -> int:
    """Return how many samples are computed together; ``share`` times fewer where more is kept."""
    largest = max(math.prod(value.shape) for value in graph.values)
    return max(1, min(LARGEST_CHUNK, CHUNK_BYTES // (4 * largest * share)))


def chunks(
    batches: Iterable[torch.Tensor], size: int, limit: int | None = None
) -> Iterator[torch.Tensor]:
    """Return the samples, at most ``limit`` of them, in chunks of at most ``size``."""
    for batch in batches:
        for start in range(0, len(batch), size):
            if limit is not None and limit <= 0:
                return
            chunk = batch[start : start + (size if limit is None else min(size, limit))]
            limit = None if limit is None else limit - len(chunk)
            yield chunk
