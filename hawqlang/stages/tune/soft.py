"""The quantized network with everything that rounds made differentiable: what a block is trained in.

    round     forward ⌊v + ½⌋, backward the identity (straight-through)
    weight    s[c] · clamp(round(V), ±limit), V free
    stored    s · clamp(round(x/s), …), s = s₀·exp(θ): its gradient is that of LSQ (Esser et al., equation 3)

Stored tensors whose step is learned are dropped from rounding at random in training, element by element, so that
weights do not lean on one pattern of rounding errors (Wei et al., "QDrop").
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from hawqlang.stages.differentiable import Differentiable, straight_through
from hawqlang.stages.simulate import Simulation
from hawqlang.stages.structure import Form

DROP = 0.5
"""Share of a learned tensor's elements that keep their unrounded value in a training step."""


@dataclass(slots=True)
class Learned:
    """What is trained."""

    latent: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """By layer: its weight in steps of its scale, as the weight is laid out."""
    scale: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """By layer: the fixed scale, shaped to the weight."""
    limit: dict[str, int] = field(default_factory=dict[str, int])
    bias: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """By layer: base, unit and how many units are added."""
    shift: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    unit: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    steps: dict[Form, torch.Tensor] = field(default_factory=dict[Form, torch.Tensor])
    """By stored tensor: the logarithm of its step's growth."""


class Soft(Differentiable):
    """A view of a simulation in which the layers of one block are trained."""

    def __init__(self, base: Simulation, learned: Learned, generator: torch.Generator) -> None:
        """Share everything with ``base`` but what is learned."""
        self.__dict__.update(base.__dict__)
        self.learned = learned
        self.generator = generator
        self.drops = True
        self._real = dict(self._real)

    def refresh(self) -> None:
        """Make the weights anew from what is learned."""
        for layer, latent in self.learned.latent.items():
            limit = self.learned.limit[layer]
            inside = latent.clamp(-limit, limit)
            whole = straight_through(inside, (inside + 0.5).floor())
            weight = whole * self.learned.scale[layer]
            bias = self.learned.bias[layer]
            if layer in self.learned.shift:
                bias = bias + self.learned.shift[layer] * self.learned.unit[layer]
            self._real[layer] = (weight, bias)

    def _step(self, form: Form) -> torch.Tensor:
        own = super()._step(form)
        return own * self.learned.steps[form].exp() if form in self.learned.steps else own

    def _stored_bound(self, bound: float, form: Form) -> float:
        drops, self.drops = self.drops, False
        found = super()._stored_bound(bound, form)
        self.drops = drops
        return found

    def _dropped(self, form: Form, x: torch.Tensor) -> torch.Tensor | None:
        if not self.drops or form not in self.learned.steps:
            return None
        return torch.rand(x.shape, generator=self.generator) < DROP
