"""The samples that sensitivities are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Samples:
    """A few samples, as the network sees them."""

    x: torch.Tensor
    """``(N, ...)``."""
    labels: torch.Tensor | None = None
    """Classes ``(N,)``, int64; without them the network's own top-1 stands for the truth."""

    def part(self, start: int, stop: int) -> Samples:
        """Return samples ``start`` to ``stop``."""
        return Samples(self.x[start:stop], None if self.labels is None else self.labels[start:stop])
