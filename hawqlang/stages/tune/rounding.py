"""Integers for a weight whose inputs are known: chosen by the error of the layer's output, not of the weight.

With ``H`` the second moment of the layer's centred input and ``T`` the weight that is wanted, ``Q`` on its grid costs

    E = Σ_r (Q_r - T_r) H (Q_r - T_r)'.

* :func:`refit`: ``T`` itself, by ridge regression of the float output on the quantized input.
* :func:`round_with_feedback`: column after column is rounded and its error handed on to those that are still free, by
  the Cholesky factor of the inverse of H (Frantar et al., "GPTQ", algorithm 1), largest diagonal first.
* :func:`descend`: cyclic coordinate descent over the integers; no step raises E.
* :func:`choose`: the clipping of each row out of several by E after rounding, then integers and scale in turn; for
  given integers the best scale is ``q H T' / q H q'``. The multiples of groups descend as the integers do.

Nothing here knows symmetric from affine weights or groups: the ``grid`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from hawqlang.stages.tune.grid import Codes, Grid, Rounded

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


def round_with_feedback(target: torch.Tensor, grid: Grid, by: Metric) -> torch.Tensor:
    """Return integers ``(G, R, K)`` on a grid for ``target (G, R, K)``."""
    order = by.order[:, None, :].expand_as(target)

    def sorted_(values: torch.Tensor) -> torch.Tensor:
        return values.expand_as(target).gather(2, order)

    rest = target.gather(2, order)
    steps, (low, high) = sorted_(grid.steps()), (sorted_(end) for end in grid.ends())
    q = torch.empty_like(rest)
    width = rest.shape[2]
    for start in range(0, width, BLOCK):
        end = min(start + BLOCK, width)
        errors = torch.empty_like(rest[:, :, start:end])
        for k in range(start, end):
            column, step = rest[:, :, k], steps[:, :, k]
            q[:, :, k] = torch.round(column / step).clamp_(low[:, :, k], high[:, :, k])
            error = (column - q[:, :, k] * step) / by.factor[:, k, k, None]
            row = by.factor[:, None, k, k:end]
            rest[:, :, k:end] -= error[:, :, None] * row
            errors[:, :, k - start] = error
        rest[:, :, end:] -= errors @ by.factor[:, start:end, end:]
    return torch.empty_like(q).scatter_(2, order, q)


def output_error(target: torch.Tensor, found: Rounded, h: torch.Tensor) -> torch.Tensor:
    """Return E of each row, ``(G, R)``."""
    difference = found.real() - target
    return ((difference @ h) * difference).sum(2)


def descend(target: torch.Tensor, found: Rounded, h: torch.Tensor) -> Rounded:
    """Return integers that no single change improves by much: a few sweeps of coordinate descent."""
    q = found.q.clone()
    steps = found.grid.steps().expand_as(q)
    low, high = (end.expand_as(q) for end in found.grid.ends())
    gradient = (q * steps - target) @ h
    diagonal = h.diagonal(dim1=1, dim2=2)
    for _ in range(SWEEPS):
        changed = False
        for k in range(q.shape[2]):
            ideal = q[:, :, k] - gradient[:, :, k] / (diagonal[:, k, None] * steps[:, :, k])
            best = torch.round(ideal).clamp_(low[:, :, k], high[:, :, k])
            step = (best - q[:, :, k]) * steps[:, :, k]
            if not bool(step.any()):
                continue
            changed = True
            q[:, :, k] = best
            gradient += step[:, :, None] * h[:, None, k, :]
        if not changed:
            break
    return Rounded(q, found.grid)


def best_scale(target: torch.Tensor, found: Rounded, h: torch.Tensor, *, shared: bool) -> Rounded:
    """Return the same integers at the scale of least error: of each row, or of all together."""
    whole = found.integers()
    weighted = whole @ h
    above, below = (weighted * target).sum(2), (weighted * whole).sum(2)
    if shared:
        above, below = (v.sum().expand_as(v) for v in (above, below))
    ratio = above / below.clamp_min(torch.finfo(torch.float64).tiny)
    scale = torch.where((below > 0) & (ratio > 0), ratio, found.grid.scale)
    return Rounded(found.q, found.grid.at(scale))


def best_multiples(target: torch.Tensor, found: Rounded, h: torch.Tensor, most: int) -> Rounded:
    """Return the same integers with better multiples of groups: a sweep of coordinate descent."""
    grid = found.grid
    if grid.index is None:
        return found
    multiple = grid.multiple.clone()
    gradient = (found.real() - target) @ h
    for s in range(multiple.shape[2]):
        columns = grid.index == s
        own = found.q[:, :, columns] * grid.scale[:, :, None]
        weighted = own @ h[:, columns]
        below = (weighted[:, :, columns] * own).sum(2)
        ideal = -(gradient[:, :, columns] * own).sum(2) / torch.where(below > 0, below, 1.0)
        best = torch.round(multiple[:, :, s] + ideal).clamp_(1, most)
        gradient += (best - multiple[:, :, s])[:, :, None] * weighted
        multiple[:, :, s] = best
    return Rounded(found.q, replace(grid, multiple=multiple))


def round_at(target: torch.Tensor, grid: Grid, by: Metric) -> Rounded:
    """Return integers on a grid for ``target (G, R, K)`` of little output error."""
    return descend(target, Rounded(round_with_feedback(target, grid, by), grid), by.h)


def choose(
    target: torch.Tensor, by: Metric, codes: Codes, *, least: torch.Tensor | float = 0.0
) -> Rounded:
    """Return integers and their grid for ``target (G, R, K)`` of little output error.

    Args:
        target: The weight that is wanted.
        by: The metric of its input.
        codes: How the weight is kept.
        least: Smallest scale allowed, ``(G, R)`` or for all.
    """
    floor = torch.as_tensor(least, dtype=torch.float64)
    best: Rounded | None = None
    cost = torch.empty(0)
    for ratio in RATIOS:
        grid = codes.grid(target, ratio, floor)
        found = Rounded(round_with_feedback(target, grid, by), grid)
        error = output_error(target, found, by.h)
        if codes.shared:
            error = error.sum().expand_as(error)
        if best is None:
            best, cost = found, error
            continue
        better = error < cost
        cost = torch.where(better, error, cost)
        best = Rounded(
            torch.where(better[:, :, None], found.q, best.q), grid.where(better, best.grid)
        )
    if best is None:
        raise ValueError("no ratio to try")
    for _ in range(ROUNDS):
        best = best_multiples(target, descend(target, best, by.h), by.h, codes.most_multiple)
        refined = best_scale(target, best, by.h, shared=codes.shared)
        best = Rounded(best.q, best.grid.at(torch.maximum(refined.grid.scale, floor)))
    return descend(target, best, by.h)
