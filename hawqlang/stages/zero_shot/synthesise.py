"""Samples made from a network: a generator is trained to match its batch norms, then its images are refined.

A generator finds images that hang together, since all of them share its weights (He et al., "Generative Zero-shot
Network Quantization", 2021); optimising the images themselves (Cai et al., "ZeroQ", 2020) then brings the statistics
closer, their tails above all, on which ranges depend. Where a sample is no map, or the generator ends no better than
noise, noise is refined instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from hawqlang.ir.graph import Graph
from hawqlang.stages.batches import gradient_batch
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.zero_shot.generator import LATENT, Generator
from hawqlang.stages.zero_shot.matching import Matching

KEPT = 8
"""Bytes kept of every element of every value to differentiate it: the value, and its gradient."""

GENERATOR_RATE = 2e-3
CODE_RATE = 8.0
"""Adam's rates, of the generator's weights and of codes in [0, 255]."""

REFINED = 4
"""A generator's images are refined for a quarter of its steps."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What decides the samples, beside the network."""

    count: int
    steps: int
    seed: int


@dataclass(frozen=True, slots=True)
class Synthesised:
    """Samples as the network's own axes have them, before rounding."""

    codes: torch.Tensor
    """Real numbers in [0, 255], ``(N, ...)``."""
    classes: torch.Tensor
    method: Literal["generator", "direct"]
    mismatch: float
    noise: float


def synthesise(graph: Graph, matching: Matching, budget: Budget, feedback: Feedback) -> Synthesised:
    """Return samples of low loss.

    Args:
        graph: The float network.
        matching: What is compared.
        budget: How many, how long, and the seed of everything random.
        feedback: Gets optimisation steps done.
    """
    maker = _Maker(graph, matching, budget, feedback)
    noise = maker.noise()
    before = maker.mismatch(noise)
    made = maker.generated()
    method: Literal["generator", "direct"] = "generator"
    if made is None or not maker.mismatch(made) < before:
        made, method = noise, "direct"
    steps = budget.steps if method == "direct" else max(1, budget.steps // REFINED)
    codes = maker.refined(made, steps)
    return Synthesised(codes, maker.classes, method, maker.mismatch(codes.round()), before)


class _Maker:
    """The state of one synthesis: its random numbers, and how far it is."""

    def __init__(
        self, graph: Graph, matching: Matching, budget: Budget, feedback: Feedback
    ) -> None:
        self._shape = graph.input.shape
        self._matching = matching
        self._budget = budget
        self._feedback = feedback
        self._random = torch.Generator().manual_seed(budget.seed)
        self._outputs = math.prod(graph.shape(graph.output))
        self._size = gradient_batch(graph, budget.count, KEPT)
        self._done = 0
        self.classes = torch.from_numpy(_classes(budget, self._outputs))

    def noise(self) -> torch.Tensor:
        """Return codes drawn around the middle."""
        shape = (self._budget.count, *self._shape)
        return (128 + 50 * torch.randn(shape, generator=self._random)).clamp(0, 255)

    def mismatch(self, codes: torch.Tensor) -> float:
        """Return how far the batches are from the statistics, on average."""
        found = [self._matching.mismatch(codes[part]) for part in self._parts()]
        return sum(found) / len(found)

    def generated(self) -> torch.Tensor | None:
        """Return the images of a generator trained for this network; ``None`` where samples are no maps."""
        if len(self._shape) != 3:
            return None
        channels, height, width = self._shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._budget.seed)
            generator = Generator((channels, height, width), self._outputs)
        count, steps = self._budget.count, self._budget.steps
        latent = torch.randn((count, LATENT), generator=self._random)
        optimizer = torch.optim.Adam(generator.parameters(), GENERATOR_RATE, betas=(0.5, 0.999))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            chosen = torch.randperm(count, generator=self._random)[: self._size]
            codes = generator(latent[chosen], self.classes[chosen])
            self._descend(optimizer, codes, self.classes[chosen])
            schedule.step()
        with torch.no_grad():
            parts = [generator(latent[part], self.classes[part]) for part in self._parts()]
        return torch.cat(parts)

    def refined(self, start: torch.Tensor, steps: int) -> torch.Tensor:
        """Return codes optimised themselves, batch by batch."""
        found: list[torch.Tensor] = []
        for part in self._parts():
            codes = start[part].clone().requires_grad_()
            optimizer = torch.optim.Adam([codes], CODE_RATE, betas=(0.5, 0.9))
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(steps):
                self._descend(optimizer, codes, self.classes[part])
                schedule.step()
                with torch.no_grad():
                    codes.clamp_(0, 255)
            found.append(codes.detach())
        return torch.cat(found)

    def _descend(
        self, optimizer: torch.optim.Optimizer, codes: torch.Tensor, classes: torch.Tensor
    ) -> None:
        loss = self._matching.loss(codes, classes, self._random)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self._done += 1
        self._feedback.progress(self._done, 0)

    def _parts(self) -> Iterator[slice]:
        """Yield batches of nearly equal size, so that the last one has statistics too."""
        count = self._budget.count
        batches = -(-count // self._size)
        ends = [count * k // batches for k in range(batches + 1)]
        return (slice(a, b) for a, b in pairwise(ends))


def _classes(budget: Budget, outputs: int) -> np.ndarray:
    """Return a class for each sample: all of them equally often, in random order."""
    rng = np.random.default_rng(budget.seed)
    rounds = [rng.permutation(outputs) for _ in range(-(-budget.count // outputs))]
    return np.concatenate(rounds)[: budget.count].astype(np.int64)
