"""Allocation: candidates and constraints to one precision per layer, proven."""

from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.solve import allocate

__all__ = ["NORMAL", "Limits", "allocate"]
