"""One allocation made real in a folder: tune, lower, codegen, build, verify, and what the accuracy constraints ask."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import hawqlang
from hawqlang import runtime
from hawqlang.backend.registry import BACKENDS
from hawqlang.backend.render import render
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.bundle import MANIFEST, BackendEntry, Manifest, OpNumbers, Port
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.plan import BitPlan, ConstraintResult
from hawqlang.ir.printer import print_program
from hawqlang.ir.printer_spec import print_spec
from hawqlang.ir.scales import ScaleTable
from hawqlang.ir.spec import Build, Spec
from hawqlang.session import Session
from hawqlang.stages.accuracy import accuracy_constraints, decide
from hawqlang.stages.allocate.report import plan_json
from hawqlang.stages.analyse import Analysis
from hawqlang.stages.bundle import file_entries, relocate, write_reference
from hawqlang.stages.card import Outcome, card_context
from hawqlang.stages.evaluate import compare, float_top1, integer_top1
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.verify import holds, verify
