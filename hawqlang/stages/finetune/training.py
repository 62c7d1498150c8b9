"""The training loop: Adam, cosine schedule, a checkpoint after every epoch, and the epoch that judges best is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from hawqlang.base import Frozen, TensorRef
from hawqlang.cache import Cache, digest
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.finetune.objective import Objective
from hawqlang.stages.finetune.trainable import Trainable
from hawqlang.stages.float_model import FloatModel, Run
from hawqlang.stages.memory import Memory

BETAS = (0.9, 0.999)

SETTLED_ON = 128
"""Samples that the first sizes and biases of few levels are estimated on."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What decides a training, beside the network and its samples."""

    epochs: int
    rate: float
    """Of the weights, at the beginning; it falls to 0 as a cosine."""
    batch: int
    seed: int


class Checkpoint(Frozen):
    """Everything that the rest of a training depends on."""

    values: TensorRef
    """All leaves, one after the other, ``(P,)``; likewise Adam's moments."""
    first: TensorRef
    second: TensorRef
    best: TensorRef
    """The leaves after the epoch of least error."""
    errors: tuple[float, ...]
    """On held-out samples: before training and after each epoch."""


@contextmanager
def exactly(device: torch.device) -> Generator[None]:
    """Let float32 be float32 while training: on CUDA, convolutions would take 10 bits of mantissa by default.

    Integers times a step would no longer be that, and what is trained not what is deployed.
    """
    if device.type != "cuda":
        yield
        return
    found = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with found:
        yield


class Teacher:
    """The float network, where the training runs."""

    def __init__(self, model: FloatModel, device: torch.device) -> None:
        self.model = model
        self.device = device
        self._parameters = {name: p.to(device) for name, p in model.parameters.items()}

    def run(self, x: torch.Tensor, keep: Collection[str] = ()) -> Run:
        """Return the float network's logits, and the values in ``keep``."""
        with torch.no_grad():
            return self.model.run(x, parameters=self._parameters, keep=keep)


class Batches(Protocol):
    """Gives what is trained on, epoch after epoch."""

    def steps(self, size: int) -> int:
        """Return how many batches of ``size`` an epoch has."""
        ...

    def epoch(
        self, seed: int, epoch: int, size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of an epoch, samples as the network sees them and labels."""
        ...


class Training:
    """One training of one network."""

    def __init__(
        self,
        network: Trainable,
        teacher: Teacher,
        lessons: Batches,
        objective: Objective,
        schedule: Schedule,
    ) -> None:
        self.network = network
        self.teacher = teacher
        self.lessons = lessons
        self.objective = objective
        self.schedule = schedule
        groups = [{"params": leaves, "factor": factor} for factor, leaves in network.rates()]
        self._optimizer = torch.optim.Adam(groups, lr=schedule.rate, betas=BETAS)
        self._steps = lessons.steps(schedule.batch)

    def train(
        self, judge: Callable[[], float], memory: Memory, feedback: Feedback
    ) -> tuple[float, ...]:
        """Train, and leave the network as it was after its best epoch.

        Args:
            judge: Gives the error of the network as it would be deployed now.
            memory: Keeps a checkpoint of every epoch.
            feedback: Gets steps done.

        Returns:
            The errors before training and after each epoch; those before it diverged, where it did.
        """
        epochs = self.schedule.epochs
        cache, key = memory.cache, memory.key
        found = self._resumed(cache, key)
        if found is None:
            self._settle()
            error = judge()
            values = _flat(leaf.data for leaf in self.network.leaves())
            found = self._checkpoint(cache, values, (error,), cache.tensors.put(values))
        for epoch in range(len(found.errors) - 1, epochs):
            if not self._epoch(epoch, feedback):
                break
            error = judge()
            if not math.isfinite(error):
                break
            values = _flat(leaf.data for leaf in self.network.leaves())
            best = cache.tensors.put(values) if error < min(found.errors) else found.best
            found = self._checkpoint(cache, values, (*found.errors, error), best)
            with suppress(OSError):
                cache.save(digest("epoch", key, epoch + 1), found)
        self._restore(self.network.leaves(), cache.tensors.get(found.best))
        return found.errors

    def _epoch(self, epoch: int, feedback: Feedback) -> bool:
        """Go through the samples once, and return whether everything is still finite."""
        total = self.schedule.epochs * self._steps
        batches = self.lessons.epoch(self.schedule.seed, epoch, self.schedule.batch)
        for done, (x, labels) in enumerate(batches, epoch * self._steps):
            rate = self.schedule.rate * 0.5 * (1 + math.cos(math.pi * done / total))
            for group in self._optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            self.network.advance(done / total)
            if not self._step(x.to(self.teacher.device), labels.to(self.teacher.device)):
                return False
            feedback.progress(done + 1, total)
        return all(bool(torch.isfinite(leaf).all()) for leaf in self.network.leaves())

    def _settle(self) -> None:
        """Let layers whose weights are on few levels already begin with outputs like the float network's."""
        outputs = self.network.unsettled()
        if outputs:
            x, _ = next(self.lessons.epoch(self.schedule.seed, 0, SETTLED_ON))
            x = x.to(self.teacher.device)
            self.network.settle(x, self.teacher.run(x, outputs).kept)

    def _step(self, x: torch.Tensor, labels: torch.Tensor) -> bool:
        logits = self.network.run(x)
        wanted = self.teacher.run(x).output if self.objective.distill else logits.detach()
        loss = self.objective.loss(logits, labels, wanted)
        if not bool(torch.isfinite(loss)):
            return False
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return True

    def _checkpoint(
        self, cache: Cache, values: np.ndarray, errors: tuple[float, ...], best: TensorRef
    ) -> Checkpoint:
        state = self._optimizer.state
        leaves = self.network.leaves()
        moments = [
            _flat(state[x].get(name, torch.zeros_like(x)) for x in leaves)
            for name in ("exp_avg", "exp_avg_sq")
        ]
        first, second = (cache.tensors.put(m) for m in moments)
        return Checkpoint(
            values=cache.tensors.put(values), first=first, second=second, best=best, errors=errors
        )

    def _resumed(self, cache: Cache, key: str) -> Checkpoint | None:
        """Return the last checkpoint, everything being put back as it was."""
        for epoch in range(self.schedule.epochs, 0, -1):
            found = cache.load(digest("epoch", key, epoch), Checkpoint)
            if found is None:
                continue
            leaves = self.network.leaves()
            first = [torch.zeros_like(x) for x in leaves]
            second = [torch.zeros_like(x) for x in leaves]
            for targets, ref in (
                (leaves, found.values),
                (first, found.first),
                (second, found.second),
            ):
                self._restore(targets, cache.tensors.get(ref))
            steps = torch.tensor(float(epoch * self._steps))
            for leaf, a, b in zip(leaves, first, second, strict=True):
                self._optimizer.state[leaf] = {"step": steps.clone(), "exp_avg": a, "exp_avg_sq": b}
            return found
        return None

    @staticmethod
    def _restore(targets: list[torch.Tensor], flat: np.ndarray) -> None:
        start = 0
        for target in targets:
            part = torch.from_numpy(flat[start : start + target.numel()].copy())
            target.data.copy_(part.reshape(target.shape))
            start += target.numel()


def _flat(parts: Iterator[torch.Tensor]) -> np.ndarray:
    return torch.cat([part.detach().reshape(-1).cpu() for part in parts]).numpy()
