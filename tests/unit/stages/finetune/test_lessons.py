"""Training samples: none that judges is trained on, and every epoch is what the seed makes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.stages.finetune.lessons import moved, prepare
from hawqlang.stages.finetune.objective import SHARE, TEMPERATURE, Objective
from tests.unit.stages.finetune.lesson_nets import KIND, Drawn

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(50)


def epoch(number: int, seed: int = 0) -> tuple[torch.Tensor, list[int]]:
    own = prepare(Drawn(IMAGES, LABELS), LABELS, KIND, mirrored=False)
    batches = list(own.epoch(seed, number, 8))
    return torch.cat([x for x, _ in batches]), [int(y) for _, part in batches for y in part]


def test_what_judges_is_never_trained_on() -> None:
    own = prepare(Drawn(IMAGES, LABELS), LABELS, KIND, mirrored=False)
    judged = [int(y) for _, part in own.held_out(4) for y in part]
    assert judged == [7, 15, 23, 31, 39, 47]
    trained = epoch(0)[1]
    assert len(trained) == len(set(trained)) == 44
    assert not set(trained) & set(judged)


def test_epochs_differ_and_seeds_decide_them() -> None:
    (x, y), (again, labels) = epoch(0), epoch(0)
    assert torch.equal(x, again)
    assert y == labels
    assert epoch(1)[1] != y
    assert epoch(0, seed=1)[1] != y


def test_samples_that_do_not_fit_into_memory_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = epoch(3)
    monkeypatch.setattr("hawqlang.stages.finetune.lessons.BYTES", 100)
    read = epoch(3)
    assert torch.equal(kept[0], read[0])
    assert kept[1] == read[1]


def test_images_are_moved_by_an_eighth_at_most_and_keep_their_pixels() -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(200, 0)
    found = moved(picture, np.random.default_rng(0), mirrored=False)
    corners = {int(x) for x in found[:, 4, 4, 0]}
    assert corners == {36 + 8 * down + across for down in (-1, 0, 1) for across in (-1, 0, 1)}


def test_images_are_mirrored_only_on_request() -> None:
    picture = np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1).repeat(8, 1).repeat(100, 0)
    rising = moved(picture, np.random.default_rng(0), mirrored=False)[:, 0, :, 0].astype(int)
    assert (np.diff(rising, axis=1) >= 0).all()
    either = moved(picture, np.random.default_rng(0), mirrored=True)[:, 0, :, 0].astype(int)
    falling = (np.diff(either, axis=1) <= 0).all(axis=1)
    assert 20 < falling.sum() < 80


def test_the_loss_is_cross_entropy_or_the_weighted_distillation() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
    teacher = torch.tensor([[3.0, 0.5, -1.0], [0.0, 2.0, 0.0]])
    labels = torch.tensor([0, 2])
    own = F.cross_entropy(logits, labels)
    torch.testing.assert_close(Objective(distill=False).loss(logits, labels, teacher), own)
    p, q = ((z / TEMPERATURE).softmax(1) for z in (teacher, logits))
    divergence = (p * (p / q).log()).sum(1).mean()
    expected = SHARE * TEMPERATURE**2 * divergence + (1 - SHARE) * own
    torch.testing.assert_close(Objective(distill=True).loss(logits, labels, teacher), expected)
