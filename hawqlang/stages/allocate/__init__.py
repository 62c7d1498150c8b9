"""Allocation: candidates and constraints to one precision per layer, proven."""

from hawqlang.stages.allocate.feasibility import Feasibility, feasible
from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.report import plan_json
from hawqlang.stages.allocate.solve import allocate

__all__ = ["NORMAL", "Feasibility", "Limits", "allocate", "feasible", "plan_json"]
