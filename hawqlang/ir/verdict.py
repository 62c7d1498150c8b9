"""Verdict: what ``verify`` proved, or the first thing that differs."""

from __future__ import annotations

from hawqlang.base import Frozen


class Difference(Frozen):
    """The first element on which a back end and the interpreter disagree."""

    backend: str
    input: str
    """Which input: ``all zeros``, ``calibration[3]``."""
    op: str
    tensor: str
    index: tuple[int, ...]
    expected: int
    got: int


class BackendVerdict(Frozen):
    """One back end's result."""

    backend: str
    variant: str
    """Instruction set or architecture: ``avx512vnni``."""
    bit_exact: bool
    inputs: int
    tensors: int
    """Stored tensors compared per input."""
    integer_only: bool
    float_instructions: tuple[str, ...] = ()
    """``symbol: mnemonic operands`` of the first few, where there are any."""
    instructions: int = 0


class Verdict(Frozen):
    """The whole result."""

    backends: tuple[BackendVerdict, ...]
    overflow_free: bool
    hashes: bool
    changed_files: tuple[str, ...] = ()
    first_difference: Difference | None = None
