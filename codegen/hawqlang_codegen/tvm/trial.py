"""Time alternatives of a network's kernels inside the network: two libraries, inference by inference in turns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.tvm.build import build
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.machine import likely_sets
from hawqlang_codegen.tvm.plan import Plan, plan_program
from hawqlang_codegen.tvm.run import TvmRunner
from hawqlang_codegen.tvm.select import Choice, Work

ROUNDS = 31
"""Inferences of each library."""
QUANTILE = 0.25
"""Of a step's times: below the median, since other work on the machine only ever adds."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Where alternatives of one program are built and timed."""

    program: IntegerProgram
    store: TensorStore
    isa: Isa
    folder: Path
    """For the libraries; they are not kept."""
    objects: Path | None
    """Of compiled kernels, by content."""

    @property
    def needed(self) -> tuple[Isa, ...]:
        """Return the instruction set, and the one whose kernels it uses where it has none of its own."""
        return tuple(isa for isa in ISAS if isa.name in (self.isa.name, self.isa.base))

    def measure(self, choices: Mapping[Work, Choice]) -> dict[Work, float]:
        """Return, per work, the time of a choice over that of the modelled one."""
        base = self._library({}, "modelled")
        other = self._library(choices, "alternative")
        shape = self.program.tensor(self.program.input).shape
        image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        try:
            times = _in_turns(base.runner, other.runner, image)
        finally:
            base.runner.close()
            other.runner.close()
        sums: dict[Work, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
        for one in base.plan.chosen:
            sums[one.work] += times[one.step]
        return {work: float(sums[work][1] / sums[work][0]) for work in choices}

    def _library(self, choices: Mapping[Work, Choice], name: str) -> _Library:
        plan = plan_program(self.program, self.store, choices)
        folder, scratch = self.folder / name, TensorStore()
        build(generate(plan, scratch, isas=self.needed), folder, scratch, self.objects)
        return _Library(plan, TvmRunner(folder, self.isa.name))


@dataclass(frozen=True, slots=True)
class _Library:
    plan: Plan
    runner: TvmRunner


def open_trial(
    program: IntegerProgram, store: TensorStore, folder: Path, objects: Path | None
) -> Trial:
    """Return a trial for the instruction set that this machine would run the program's library with.

    Raises:
        HawqError: it can run none (HQ803), or there is no C compiler (HQ801).
    """
    scratch, whole = TensorStore(), folder / "whole"
    build(
        generate(plan_program(program, store), scratch, isas=likely_sets()), whole, scratch, objects
    )
    runner = TvmRunner(whole, None)
    runner.close()
    isa = next(isa for isa in ISAS if isa.name == runner.variant)
    return Trial(program, store, isa, folder, objects)


def _in_turns(
    base: TvmRunner, other: TvmRunner, image: npt.NDArray[Any]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the nanoseconds of every step in both libraries."""
    for runner in (base, other):
        runner.profile(image)
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _ in range(ROUNDS):
        first, second = base.profile(image), other.profile(image)
        for step, nanoseconds in first.items():
            found[step].append((nanoseconds, second[step]))
    return {
        step: np.maximum(np.quantile(np.array(pairs), QUANTILE, axis=0), 1.0)
        for step, pairs in found.items()
    }
