"""Integers for a weight whose inputs are known: chosen by the error of the layer's output, not of the weight.

With ``H`` the second moment of the layer's centred input and ``T`` the weight that is wanted, ``Q = s·q`` costs

    E = Σ_r (Q_r - T_r) H (Q_r - T_r)'.

* :func:`refit`: ``T`` itself, by ridge regression of the float output on the quantized input.
* :func:`round_with_feedback`: column after column is rounded and its error handed on to those that are still free, by
  the Cholesky factor of the inverse of H (Frantar et al., "GPTQ", algorithm 1), largest diagonal first.
* :func:`descend`: cyclic coordinate descent over the integers; no step raises E.
* :func:`choose`: the scale of each row out of a grid by E after rounding, then integers and scale in turn; for given
  integers the best scale is ``q H T' / q H q'``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

_factorize: Callable[..., tuple[torch.Tensor, torch.Tensor]] = torch.linalg.cholesky_ex  # pyright: ignore[reportUnknownVariableType]

RIDGE = 0.01
"""Pull of the refit towards the trained weight, in units of the mean diagonal of H."""

DAMPING = 0.03
"""What is added to the diagonal of H before it is inverted, in the same units."""

BLOCK = 64
"""Columns between two updates of all that follow."""

RATIOS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""Clipping ratios that are tried."""

ROUNDS = 3
"""Alternations of integers and scale after the grid."""

SWEEPS = 3
"""Sweeps of coordinate descent in each."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """Integers ``(G, R, K)``, float64, and their scales ``(G, R)``."""

    q: torch.Tensor
    scale: torch.Tensor

    def real(self) -> torch.Tensor:
        """Return the weight that they stand for."""
        return self.q * self.scale[:, :, None]


@dataclass(frozen=True, slots=True)
class Metric:
    """H, damped, with what rounding needs of it."""

    h: torch.Tensor
    """``(G, K, K)``."""
    order: torch.Tensor
    """``(G, K)``: columns by falling diagonal."""
    factor: torch.Tensor
    """``(G, K, K)``: the upper Cholesky factor of the inverse of H in that order."""


def ridge_of(h: torch.Tensor, share: float) -> torch.Tensor:
    """Return ``share`` of the mean diagonal of each group's H as a multiple of the identity."""
    mean = h.diagonal(dim1=1, dim2=2).mean(1)
    floor = torch.finfo(torch.float64).tiny ** 0.5
    return (share * mean).clamp_min(floor)[:, None, None] * torch.eye(h.shape[1], dtype=h.dtype)


def cholesky(h: torch.Tensor, *, upper: bool = False) -> torch.Tensor:
    """Return the Cholesky factor of each matrix ``(G, K, K)``, its diagonal raised where rounding errors ask for it."""
    share = 1e-12
    while True:
        factor, info = _factorize(h, upper=upper)
        if not bool(info.any()):
            return factor
        h = h + ridge_of(h.abs(), share)
        share *= 100


def refit(weight: torch.Tensor, h: torch.Tensor, yx: torch.Tensor) -> torch.Tensor:
    """Return the weight ``(G, R, K)`` that gives the wanted output best, pulled towards ``weight``.

    Minimises ``E|W x - y|² + λ·|W - weight|²`` about the means: ``W = (yx + λ·weight) (H + λ)⁻¹``.

    Args:
        weight: What was trained, ``(G, R, K)`` float64.
        h: Centred second moment of the input, ``(G, K, K)``.
        yx: Centred product moment of the wanted output and the input, ``(G, R, K)``.
    """
    pull = ridge_of(h, RIDGE)
    factor = cholesky(h + pull)
    return torch.cholesky_solve((yx + weight @ pull).mT, factor).mT


def metric(h: torch.Tensor) -> Metric:
    """Return H damped and factored."""
    damped = h + ridge_of(h, DAMPING)
    order = damped.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True, stable=True)
    sorted_ = damped.gather(1, order[:, :, None].expand_as(h))
    sorted_ = sorted_.gather(2, order[:, None, :].expand_as(h))
    inverse = torch.cholesky_inverse(cholesky(sorted_))
    return Metric(damped, order, cholesky(inverse, upper=True))


def round_with_feedback(
    target: torch.Tensor, scale: torch.Tensor, by: Metric, limit: int
) -> torch.Tensor:
    """Return integers ``(G, R, K)`` for ``target (G, R, K)`` at ``scale (G, R)``."""
    order = by.order[:, None, :].expand_as(target)
    rest = target.gather(2, order)
    q = torch.empty_like(rest)
    width = rest.shape[2]
    for start in range(0, width, BLOCK):
        end = min(start + BLOCK, width)
        errors = torch.empty_like(rest[:, :, start:end])
        for k in range(start, end):
            column = rest[:, :, k]
            q[:, :, k] = torch.round(column / scale).clamp_(-limit, limit)
            error = (column - q[:, :, k] * scale) / by.factor[:, k, k, None]
            row = by.factor[:, None, k, k:end]
            rest[:, :, k:end] -= error[:, :, None] * row
            errors[:, :, k - start] = error
        rest[:, :, end:] -= errors @ by.factor[:, start:end, end:]
    return torch.empty_like(q).scatter_(2, order, q)


def output_error(target: torch.Tensor, found: Rounded, h: torch.Tensor) -> torch.Tensor:
    """Return E of each row, ``(G, R)``."""
    difference = found.real() - target
    return ((difference @ h) * difference).sum(2)


def descend(target: torch.Tensor, found: Rounded, h: torch.Tensor, limit: int) -> Rounded:
    """Return integers that no single change improves by much: a few sweeps of coordinate descent."""
    q = found.q.clone()
    scale = found.scale
    gradient = (q * scale[:, :, None] - target) @ h
    diagonal = h.diagonal(dim1=1, dim2=2)
    for _ in range(SWEEPS):
        changed = False
        for k in range(q.shape[2]):
            ideal = q[:, :, k] - gradient[:, :, k] / (diagonal[:, k, None] * scale)
            best = torch.round(ideal).clamp_(-limit, limit)
            step = (best - q[:, :, k]) * scale
            if not bool(step.any()):
                continue
            changed = True
            q[:, :, k] = best
            gradient += step[:, :, None] * h[:, None, k, :]
        if not changed:
            break
    return Rounded(q, scale)


def best_scale(target: torch.Tensor, found: Rounded, h: torch.Tensor, *, shared: bool) -> Rounded:
    """Return the same integers at the scale of least error: of each row, or of all together."""
    weighted = found.q @ h
    above, below = (weighted * target).sum(2), (weighted * found.q).sum(2)
    if shared:
        above, below = (v.sum().expand_as(v) for v in (above, below))
    ratio = above / below.clamp_min(torch.finfo(torch.float64).tiny)
    return Rounded(found.q, torch.where((below > 0) & (ratio > 0), ratio, found.scale))


def round_at(target: torch.Tensor, scale: torch.Tensor, by: Metric, limit: int) -> Rounded:
    """Return integers for ``target (G, R, K)`` of little output error at given scales ``(G, R)``."""
    found = Rounded(round_with_feedback(target, scale, by, limit), scale)
    return descend(target, found, by.h, limit)


def choose(
    target: torch.Tensor,
    by: Metric,
    limit: int,
    *,
    shared: bool = False,
    least: torch.Tensor | float = 0.0,
) -> Rounded:
    """Return integers and scales for ``target (G, R, K)`` of little output error.

    Args:
        target: The weight that is wanted.
        by: The metric of its input.
        limit: Largest magnitude of an integer.
        shared: Whether all rows have one scale.
        least: Smallest scale allowed, ``(G, R)`` or for all.
    """
    floor = torch.as_tensor(least, dtype=torch.float64)
    largest = target.abs().amax(2)
    if shared:
        largest = largest.max().expand_as(largest)
    top = largest.max()
    full = torch.where(largest > 0, largest, torch.where(top > 0, top, limit)) / limit
    best: Rounded | None = None
    cost = torch.empty(0)
    for ratio in RATIOS:
        scale = torch.maximum(full * ratio, floor)
        found = Rounded(round_with_feedback(target, scale, by, limit), scale)
        error = output_error(target, found, by.h)
        if shared:
            error = error.sum().expand_as(error)
        if best is None:
            best, cost = found, error
            continue
        better = error < cost
        cost = torch.where(better, error, cost)
        best = Rounded(
            torch.where(better[:, :, None], found.q, best.q),
            torch.where(better, scale, best.scale),
        )
    if best is None:
        raise ValueError("no ratio to try")
    for _ in range(ROUNDS):
        best = descend(target, best, by.h, limit)
        refined = best_scale(target, best, by.h, shared=shared)
        best = Rounded(best.q, torch.maximum(refined.scale, floor))
    return descend(target, best, by.h, limit)
