"""Attempt: one allocation that was realised to see whether it meets the accuracy constraints."""

from __future__ import annotations

from hawqlang.base import Frozen
from hawqlang.ir.plan import Change, ConstraintResult


class Attempt(Frozen):
    """What became of one allocation."""

    number: int
    """From 1."""
    metrics: tuple[tuple[str, float], ...]
    """Those of its plan: ``size_bytes``, ``perturbation``, …"""
    changes: tuple[Change, ...]
    """Against the attempt before; empty for the first."""
    constraints: tuple[ConstraintResult, ...]
    """The accuracy constraints, decided."""
    holds: bool
    """Whether all of them hold."""
    seconds: float
    """From choosing the allocation to the verdict; little where the cache knew it."""
