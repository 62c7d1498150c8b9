"""Streams of samples."""

from __future__ import annotations

import numpy as np
import torch

from hawqlang.stages.batches import CHUNK_BYTES, LARGEST_CHUNK, Stream, chunk_size, stream_of
from tests.unit.stages.nets import Net, fire_net


def sizes(samples: Stream, size: int) -> list[int]:
    return [len(batch) for batch in samples.batches(size)]


def test_a_stream_gives_all_samples_in_order_as_often_as_asked() -> None:
    x = torch.arange(14.0).reshape(7, 2)
    samples = stream_of(x)
    for _ in range(2):
        np.testing.assert_array_equal(torch.cat(list(samples.batches(3))), x)
    assert sizes(samples, 3) == [3, 3, 1]


def test_the_first_samples_are_cut_where_they_end() -> None:
    samples = stream_of(torch.zeros(10, 2))
    assert sizes(samples.first(5), 4) == [4, 1]
    assert (samples.first(5).count, samples.first(50).count) == (5, 10)
    assert sizes(samples.first(50), 8) == [8, 2]
    assert sizes(samples.first(8).first(3), 2) == [2, 1]
    assert sizes(samples.first(0), 4) == []


def test_chunks_shrink_with_the_largest_activation() -> None:
    assert chunk_size(fire_net()[0]) == LARGEST_CHUNK
    net = Net((3, 512, 512))
    graph = net.graph(net.conv("wide", "x", 16))
    assert chunk_size(graph) == CHUNK_BYTES // (4 * 16 * 512 * 512) == 1
