"""Evaluate an integer library beside the float network, on the same samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.backend.protocol import Array
from hawqlang.cache import Cache, digest
from hawqlang.ir.evaluation import Evaluation, Predictions
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import Input
from hawqlang.progress import Progress
from hawqlang.stages.data import Samples, channels_last

Classes = npt.NDArray[np.int64]
BATCH = 16


def integer_top1(
    run: Callable[[Array], Array], samples: Samples, network_input: Input, progress: Progress
) -> Classes:
    """Return the top-1 class of every sample by the logits that ``run`` gives; the first of equal ones wins."""
    found: list[npt.NDArray[Any]] = []
    done = 0
    with progress.step(f"integer network on {len(samples)} inputs") as advance:
        for pixels in samples.batches(BATCH):
            logits = run(channels_last(pixels, network_input))
            found.append(np.argmax(logits, axis=1))
            done += len(pixels)
            advance(done, len(samples))
    return np.concatenate(found).astype(np.int64)


def float_top1(
    graph: Graph, network_input: Input, samples: Samples, cache: Cache, progress: Progress
) -> Classes:
    """Return the float network's top-1 class of every sample; cached under graph and data digests."""
    key = digest("float_top1", graph, network_input, samples.digest)
    found = cache.load(key, Predictions)
    if found is None:
        classes = _run_float(graph, network_input, samples, cache, progress)
        found = Predictions(top1=cache.tensors.put(classes))
        cache.save(key, found)
    return cache.tensors.get(found.top1)


def _run_float(
    graph: Graph, network_input: Input, samples: Samples, cache: Cache, progress: Progress
) -> Classes:
    from hawqlang.stages.float_model import FloatModel, preprocess

    model = FloatModel(graph, cache.tensors)
    found: list[npt.NDArray[Any]] = []
    done = 0
    with progress.step(f"float network on {len(samples)} inputs") as advance:
        for pixels in samples.batches(BATCH):
            logits = model.forward(preprocess(pixels, network_input))
            found.append(logits.argmax(dim=1).numpy())
            done += len(pixels)
            advance(done, len(samples))
    return np.concatenate(found).astype(np.int64)


def compare(integer: Classes, float_: Classes | None, labels: Classes | None) -> Evaluation:
    """Return the accuracies of two lists of classes and their agreement.

    The standard error is that of the per-sample difference of correctness, so it is paired.
    """
    n = len(integer)
    right = None if labels is None else integer == labels
    float_right = None if labels is None or float_ is None else float_ == labels
    stderr = None
    if right is not None and float_right is not None:
        difference = float_right.astype(np.float64) - right
        stderr = float(difference.std() / np.sqrt(n))
    return Evaluation(
        n=n,
        accuracy=None if right is None else float(right.mean()),
        fp32_accuracy=None if float_right is None else float(float_right.mean()),
        agreement=None if float_ is None else float((integer == float_).mean()),
        drop_stderr=stderr,
    )
