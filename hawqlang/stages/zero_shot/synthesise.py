"""Samples made from a network: a generator is trained to match its batch norms, then its images are refined.

A generator finds images that hang together, since all of them share its weights (He et al., "Generative Zero-shot
Network Quantization", 2021); optimising the images themselves (Cai et al., "ZeroQ", 2020) then brings the statistics
closer, their tails above all, on which ranges depend. Where a sample is no map, or the generator ends no better than
noise, noise is refined instead.

What a generator gave, and every batch once it is refined, is remembered: each batch has random numbers of its own, so
that a killed synthesis goes on with the batches that are missing and ends in the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from hawqlang.cache import Array
from hawqlang.ir.graph import Graph
from hawqlang.stages.batches import gradient_batch
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.memory import Memory
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
    """Samples as the network's own axes have them."""

    codes: torch.Tensor
    """Whole numbers in [0, 255], ``(N, ...)``."""
    classes: torch.Tensor
    method: Literal["generator", "direct"]
    mismatch: float
    noise: float


def synthesise(
    graph: Graph, matching: Matching, budget: Budget, memory: Memory, feedback: Feedback
) -> Synthesised:
    """Return samples of low loss.

    Args:
        graph: The float network.
        matching: What is compared.
        budget: How many, how long, and the seed of everything random.
        memory: Remembers what is done.
        feedback: Gets optimisation steps done.
    """
    maker = _Maker(graph, matching, budget, memory, feedback)
    noise = maker.noise()
    before = maker.mismatch(noise)
    made = maker.generated()
    method: Literal["generator", "direct"] = "generator"
    if made is None or not maker.mismatch(made) < before:
        made, method = noise, "direct"
    steps = budget.steps if method == "direct" else max(1, budget.steps // REFINED)
    codes = maker.refined(made, steps)
    return Synthesised(codes, maker.classes, method, maker.mismatch(codes), before)


class _Maker:
    """The state of one synthesis: its random numbers, and how far it is."""

    def __init__(
        self,
        graph: Graph,
        matching: Matching,
        budget: Budget,
        memory: Memory,
        feedback: Feedback,
    ) -> None:
        self._shape = graph.input.shape
        self._matching = matching
        self._budget = budget
        self._memory = memory
        self._feedback = feedback
        self._outputs = math.prod(graph.shape(graph.output))
        self._size = gradient_batch(graph, budget.count, KEPT)
        self._done = 0
        self.classes = torch.from_numpy(_classes(budget, self._outputs))

    def noise(self) -> torch.Tensor:
        """Return codes drawn around the middle."""
        shape = (self._budget.count, *self._shape)
        return (128 + 50 * torch.randn(shape, generator=self._drawn(0))).clamp(0, 255)

    def mismatch(self, codes: torch.Tensor) -> float:
        """Return how far the batches are from the statistics, on average."""
        found = [self._matching.mismatch(codes[part]) for part in self._parts()]
        return sum(found) / len(found)

    def generated(self) -> torch.Tensor | None:
        """Return the images of a generator trained for this network; ``None`` where samples are no maps."""
        if len(self._shape) != 3:
            return None
        return _real(self._memory.array("generated", self._by_generator))

    def _by_generator(self) -> Array:
        channels, height, width = self._shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._budget.seed)
            generator = Generator((channels, height, width), self._outputs)
        drawn = self._drawn(1)
        count, steps = self._budget.count, self._budget.steps
        latent = torch.randn((count, LATENT), generator=drawn)
        optimizer = torch.optim.Adam(generator.parameters(), GENERATOR_RATE, betas=(0.5, 0.999))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            chosen = torch.randperm(count, generator=drawn)[: self._size]
            codes = generator(latent[chosen], self.classes[chosen])
            self._descend(optimizer, codes, self.classes[chosen], drawn)
            schedule.step()
        with torch.no_grad():
            parts = [generator(latent[part], self.classes[part]) for part in self._parts()]
        return _whole(torch.cat(parts))

    def refined(self, start: torch.Tensor, steps: int) -> torch.Tensor:
        """Return codes optimised themselves, batch by batch."""
        found: list[torch.Tensor] = []
        for number, part in enumerate(self._parts()):

            def refine(part: slice = part, number: int = number) -> Array:
                return self._batch(start[part], self.classes[part], steps, number)

            found.append(_real(self._memory.array(f"refined {number} in {steps}", refine)))
        return torch.cat(found)

    def _batch(self, start: torch.Tensor, classes: torch.Tensor, steps: int, number: int) -> Array:
        """Return one batch, optimised."""
        codes, drawn = start.clone().requires_grad_(), self._drawn(2 + number)
        optimizer = torch.optim.Adam([codes], CODE_RATE, betas=(0.5, 0.9))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            self._descend(optimizer, codes, classes, drawn)
            schedule.step()
            with torch.no_grad():
                codes.clamp_(0, 255)
        return _whole(codes)

    def _drawn(self, stream: int) -> torch.Generator:
        """Return one of several independent sources of random numbers."""
        seed = np.random.SeedSequence((self._budget.seed, stream)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))

    def _descend(
        self,
        optimizer: torch.optim.Optimizer,
        codes: torch.Tensor,
        classes: torch.Tensor,
        drawn: torch.Generator,
    ) -> None:
        loss = self._matching.loss(codes, classes, drawn)
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


def _whole(codes: torch.Tensor) -> Array:
    """Return the nearest codes, uint8."""
    return codes.detach().round().clamp(0, 255).to(torch.uint8).numpy()


def _real(codes: Array) -> torch.Tensor:
    """Return codes as real numbers."""
    return torch.from_numpy(codes.astype(np.float32))


def _classes(budget: Budget, outputs: int) -> np.ndarray:
    """Return a class for each sample: all of them equally often, in random order."""
    rng = np.random.default_rng(budget.seed)
    rounds = [rng.permutation(outputs) for _ in range(-(-budget.count // outputs))]
    return np.concatenate(rounds)[: budget.count].astype(np.int64)
