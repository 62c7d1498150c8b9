"""The whole network brought closer to the float one: gradients of the divergence of its classes.

Calibration samples have no labels; what the float network answers is what is to be learned. A few hundred samples are
soon known by heart, so no sample is seen twice as it is: images are shifted and mirrored at random, and the float
network is asked what it makes of them. The network of least divergence on held-out samples, which stay as they are,
is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.ir.graph import Graph
from hawqlang.stages.batches import gradient_batch
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.finetune.lessons import moved
from hawqlang.stages.finetune.objective import Objective
from hawqlang.stages.finetune.training import Schedule, Teacher, Training
from hawqlang.stages.memory import Memory
from hawqlang.stages.tune.learner import Learner
from hawqlang.stages.tune.replay import macs

RATES = (1e-3, 1e-4)
"""Of steps, in their logarithm, and of all else as ``learner`` says: one training after the other. The first is for
networks that are far from the float one, the second for those that are close or have come close."""

PARTS = 10
"""How often the network is judged, and a checkpoint written."""

STEPS = 400
"""Of Adam, at most."""

LARGEST_BATCH = 32

KEPT = 24
"""Bytes kept of every element of every value to differentiate it."""

ELEMENT = 150
"""What storing one element costs forward and back, in multiply-accumulates; measured."""

WORK = 24 * 10**12
"""Bound of all steps together, in multiply-accumulates: a quarter of an hour of one core."""


@dataclass(frozen=True, slots=True)
class Views:
    """Fitted samples, every time a little different."""

    x: torch.Tensor
    """As the network sees them."""
    count: int
    """Batches of a part."""

    def steps(self, size: int) -> int:
        """Return the batches of a part, whatever their size."""
        del size
        return self.count

    def epoch(
        self, seed: int, epoch: int, size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of a part; labels, which nobody reads, are 0."""
        rng = np.random.default_rng((seed, epoch))
        for _ in range(self.count):
            x = self.x[torch.from_numpy(rng.integers(0, len(self.x), size))]
            if x.ndim == 4:
                x = torch.from_numpy(moved(x.permute(0, 2, 3, 1).numpy(), rng, mirrored=True))
                x = x.permute(0, 3, 1, 2).contiguous()
            yield x, torch.zeros(len(x), dtype=torch.int64)


@dataclass(frozen=True, slots=True)
class Likeness(Objective):
    """The divergence of the classes from those of the float network."""

    distill: bool = True

    def loss(
        self, logits: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean Kullback-Leibler divergence, in nats."""
        del labels
        own, wanted = logits.log_softmax(1), teacher.log_softmax(1)
        return F.kl_div(own, wanted, log_target=True, reduction="batchmean")


def sample_work(graph: Graph) -> int:
    """Return what one sample costs in a step, forward and back, in multiply-accumulates."""
    stored = sum(math.prod(value.shape) for value in graph.values)
    return 3 * macs(graph) + ELEMENT * stored


def steps_of(graph: Graph, batch: int) -> int:
    """Return how many steps are made: a function of the network alone, so that results do not depend on the clock."""
    return max(PARTS, min(STEPS, WORK // (batch * sample_work(graph))))


def distil(
    learner: Learner,
    x: torch.Tensor,
    judge: Callable[[], float],
    how: tuple[float, int],
    memory: Memory,
    feedback: Feedback,
) -> None:
    """Train a network to answer as the float network does, and leave it as it was after its best part.

    Args:
        learner: The network.
        x: Fitted samples as the network sees them.
        judge: Gives its divergence on held-out samples as it would be deployed now.
        how: The rate at the beginning, and the seed that draws samples and views.
        memory: Keeps a checkpoint of every part.
        feedback: Gets steps done.
    """
    graph = learner.graph
    batch = min(LARGEST_BATCH, gradient_batch(graph, len(x), KEPT))
    count = max(1, steps_of(graph, batch) // PARTS)
    rate, seed = how
    schedule = Schedule(epochs=PARTS, rate=rate, batch=batch, seed=seed)
    teacher = Teacher(learner.model, torch.device("cpu"))
    training = Training(learner, teacher, Views(x, count), Likeness(), schedule)
    training.train(judge, memory, feedback)
