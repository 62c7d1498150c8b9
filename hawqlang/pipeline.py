"""The compiler on one screen: every step, in order, for one build of a spec.

    parse → resolve → import_model → calibrate → sensitivity → candidates → allocate
          → tune → lower → codegen → build → verify → report

Each step is a function in ``hawqlang.stages`` from values to a value. What is costly and depends on data is kept in the
cache under the digests of all it depends on, so a changed constraint is solved again without calibrating again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hawqlang.base import Precision
from hawqlang.cache import digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build, Data, Input, LayersSource
from hawqlang.session import Session

STAGES = (
    "import_model",
    "calibrate",
    "sensitivity",
    "candidates",
    "allocate",
    "tune",
    "lower",
    "codegen",
    "build",
    "verify",
    "report",
)
"""The steps whose time and memory a build reports, in order."""

Report = Callable[[Diagnostic], None]
"""Takes warnings as they are found."""
