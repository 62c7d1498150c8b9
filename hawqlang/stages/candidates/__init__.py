"""Candidates: what each layer may take and what that costs, before the solver sees it."""

from hawqlang.stages.candidates.selectors import groups, select
from hawqlang.stages.candidates.settings import settings
from hawqlang.stages.candidates.table import candidates

__all__ = ["candidates", "groups", "select", "settings"]
