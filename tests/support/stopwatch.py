"""A back end whose libraries take a fixed time a layer, by the bits of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Conv2d, Linear

NANOSECONDS = {8: 7000, 4: 3000}


class Stopwatch:
    """Stands in for the TVM back end where layers are timed; ``cpu`` and ``drift`` are set by tests."""

    name = "tvm"
    variant = "stopwatch"
    cpu = "a laptop"
    drift = 1.0
    """By how much every pass is slower than the one before."""
    built = 0
    """Libraries, of all instances."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}
        self.passed = 0

    def timed_on(self) -> tuple[str, str]:
        return self.cpu, "generation"

    def kernels(self, program: IntegerProgram, _: object) -> Mapping[str, str]:
        return {
            op.name: f"{op.weight_bits} {op.weight_shape}"
            if isinstance(op, Conv2d | Linear)
            else ""
            for op in program.ops
        }

    def library(self, program: IntegerProgram, *_: object) -> Stopwatch:
        type(self).built += 1
        self.times = {
            op.name: NANOSECONDS[op.weight_bits] if isinstance(op, Conv2d | Linear) else 1
            for op in program.ops
        }
        return self

    def profile(self, _: object) -> Mapping[str, int]:
        self.passed += 1
        return {n: round(t * self.drift**self.passed) for n, t in self.times.items()}

    def close(self) -> None: ...
