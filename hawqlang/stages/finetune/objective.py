"""What training lowers: the loss against the labels, or mostly against the float network's own answers.

    L = α · T² · KL(teacher/T || student/T) + (1 - α) · CE(student, labels),   α = 0.95, T = 6

the distillation of HAWQ-V3; without it, the cross entropy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

SHARE = 0.95
TEMPERATURE = 6.0


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a batch."""

    distill: bool

    def loss(
        self, logits: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean loss.

        Args:
            logits: Of the network in training, ``(N, F)``.
            labels: Classes, ``(N,)``.
            teacher: The float network's logits; not used without distillation.
        """
        own = F.cross_entropy(logits, labels)
        if not self.distill:
            return own
        divergence = F.kl_div(
            (logits / TEMPERATURE).log_softmax(1),
            (teacher / TEMPERATURE).log_softmax(1),
            log_target=True,
            reduction="batchmean",
        )
        return SHARE * TEMPERATURE**2 * divergence + (1 - SHARE) * own
