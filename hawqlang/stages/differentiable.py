"""The simulation of the integer network, differentiable: every rounding takes place, and gradients pass it.

    stored    x̂ = s·q,   q = clamp(⌊x/s + ½⌋, least, most)
    sum       q = clamp(⌊a/s + ½⌋ + ⌊b/s + ½⌋, least, most),   x = a + b

    ∂x̂/∂x = 1 inside the range, else 0
    ∂x̂/∂s = q - x/s inside, q outside             (Esser et al., "LSQ", equation 3)

Elements that are dropped from rounding (Wei et al., "QDrop") are stored as ``clamp(x/s)·s`` instead.
"""

from __future__ import annotations

from typing import Any, cast

import torch

from hawqlang.ir.graph import Add
from hawqlang.stages.simulate import Key, Lookup, Simulation
from hawqlang.stages.structure import LOGITS_BITS, Form


def straight_through(x: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return ``rounded``, with the gradient of ``x``."""
    return x + (rounded - x).detach()


class _Grid(torch.autograd.Function):
    """What is stored of a tensor, and its gradients; keeps the tensor alone for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        step: torch.Tensor,
        whole: torch.Tensor | None,
        bounds: tuple[int, int],
        dropped: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the stored reals.

        Args:
            ctx: Carries tensors to :meth:`backward`.
            x: The tensor before it is stored.
            step: Its step, a scalar.
            whole: Its integers before saturation; ``None``: those nearest to ``x / step``, ties up.
            bounds: Least and most integer.
            dropped: Elements that are not rounded; ``None`` for none.
        """
        q = (x * (1 / step)).add_(0.5).floor_() if whole is None else whole.clone()
        q.clamp_(*bounds)
        if dropped is not None:
            q = torch.where(dropped, (x * (1 / step)).clamp_(*bounds), q)
        ctx.save_for_backward(x, step, q if whole is not None or dropped is not None else None)
        ctx.bounds = bounds
        return q * step

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of ``x`` and ``step``."""
        (grad,) = grads
        x, step, q = ctx.saved_tensors
        least, most = ctx.bounds
        v = x * (1 / step)
        if q is None:
            q = (v + 0.5).floor_().clamp_(least, most)
        inside = (v >= least) & (v <= most)
        of_x = grad * inside
        of_step = None
        if ctx.needs_input_grad[1]:
            of_step = ((grad * q).sum() - (of_x * v).sum()).reshape(step.shape)
        return of_x, of_step, None, None, None


class Differentiable(Simulation):
    """A simulation whose results can be differentiated in its inputs, weights, biases and steps."""

    def _step(self, form: Form) -> torch.Tensor:
        """Return the step of a stored tensor, a scalar."""
        device = next(iter(self._real.values()))[0].device
        return torch.tensor(self.params[form].scale, dtype=self.dtype, device=device)

    def _dropped(self, form: Form, x: torch.Tensor) -> torch.Tensor | None:
        """Return which elements of ``x`` are not rounded in this pass; ``None`` for none."""
        del form, x
        return None

    def store(self, x: torch.Tensor, form: Form) -> torch.Tensor:
        """Return ``x`` rounded to a form, differentiable in ``x`` and in the form's step."""
        return x if form.bits == LOGITS_BITS else self._stored(x, None, form)

    def _add(self, node: Add, form: Form, lookup: Lookup) -> torch.Tensor:
        """Return the sum on the grid of its form, each addend rounded there."""
        keys = [self._addend(node, name) for name in (node.a, node.b)]
        a, b = (lookup(key) for key in keys)
        if form.bits == LOGITS_BITS:
            return a + b
        with torch.no_grad():
            step = self._step(form)
            whole = self._whole(keys[0], a, step).add_(self._whole(keys[1], b, step))
        return self._stored(a + b, whole, form)

    def _whole(self, key: Key, x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Return an addend in whole steps; a stored one as its integers times a ratio."""
        if key.form is None or key.form.bits == LOGITS_BITS:
            return (x * (1 / step)).add_(0.5).floor_()
        own = self._step(key.form)
        return (x / own).round_().mul_(own / step).add_(0.5).floor_()

    def _stored(self, x: torch.Tensor, whole: torch.Tensor | None, form: Form) -> torch.Tensor:
        params = self.params[form]
        bounds = (params.qmin - params.zero_point, params.qmax - params.zero_point)
        dropped = self._dropped(form, x)
        return cast("torch.Tensor", _Grid.apply(x, self._step(form), whole, bounds, dropped))

    def _stored_bound(self, bound: float, form: Form) -> float:
        """Return the stored value of a clamp's bound."""
        with torch.no_grad():
            return super()._stored_bound(bound, form)
