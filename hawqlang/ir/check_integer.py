"""Whether an integer program is well formed: what every pass may assume and every back end relies on."""

from __future__ import annotations

from collections.abc import Iterator

from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import (
    Add,
    Affine,
    AvgPool2d,
    Conv2d,
    Frame,
    Linear,
    Multiply,
    Op,
    QTensor,
    Resample,
    problems,
    reads,
    shapes,
    writes,
)

COMPUTING = (Conv2d, Linear, Add, AvgPool2d, Affine, Multiply, Resample)
"""Operators with a sum or product that a bound speaks of; moves have none, and a table's entries are all known."""


class MalformedProgramError(ValueError):
    """A program that breaks its own rules: a defect of the compiler, never of a spec."""


def verify_program(program: IntegerProgram, store: TensorStore) -> IntegerProgram:
    """Return the program itself.

    Raises:
        MalformedProgramError: Names everything that is wrong with it.
    """
    found = tuple(program_problems(program, store))
    if found:
        raise MalformedProgramError(f"program '{program.name}': " + "; ".join(found))
    return program


def program_problems(program: IntegerProgram, store: TensorStore) -> Iterator[str]:
    """Yield, in words, everything that is wrong with a program."""
    tensors = {tensor.name: tensor for tensor in program.tensors}
    if len(tensors) != len(program.tensors):
        yield "two tensors share a name"
    if len({op.name for op in program.ops}) != len(program.ops):
        yield "two operators share a name"
    unknown = [
        name for op in program.ops for name in (*reads(op), *writes(op)) if name not in tensors
    ]
    unknown += [name for name in (program.input, program.output) if name not in tensors]
    if unknown:
        yield f"tensors {unknown} are not declared"
        return
    for tensor in program.tensors:
        yield from _tensor_problems(tensor)
    yield from _interface_problems(program, tensors)
    yield from _flow_problems(program)
    frame = Frame({}, tensors, store.get)
    for op in program.ops:
        yield from (f"{op.name}: {problem}" for problem in _op_problems(op, frame))
    yield from _bound_problems(program)


def _tensor_problems(tensor: QTensor) -> Iterator[str]:
    low, high = tensor.range
    if not (1 <= tensor.bits <= 16 or tensor.bits == 32):
        yield f"{tensor.name} has {tensor.bits} bits"
    if tensor.bits == 32 and (tensor.zero_point != 0 or not tensor.signed):
        yield f"{tensor.name} is 32 bits wide and must be signed with zero point 0"
    if not low <= tensor.zero_point <= high:
        yield f"{tensor.name} has zero point {tensor.zero_point} outside [{low}, {high}]"
    if len(tensor.shape) not in (1, 3) or min(tensor.shape) < 1:
        yield f"{tensor.name} has shape {tensor.shape}"


def _interface_problems(program: IntegerProgram, tensors: dict[str, QTensor]) -> Iterator[str]:
    entry, exit_ = tensors[program.input], tensors[program.output]
    if (entry.bits, entry.signed) != (8, False):
        yield f"the input {entry.name} is not uint8"
    if exit_.bits != 32 or len(exit_.shape) != 1:
        yield f"the output {exit_.name} is not an int32 vector"


def _flow_problems(program: IntegerProgram) -> Iterator[str]:
    """Yield breaches of: defined once, before its first reader, and read at least once."""
    defined = {program.input}
    read = {program.output}
    for op in program.ops:
        yield from (
            f"{op.name} reads {x} before it is defined" for x in reads(op) if x not in defined
        )
        yield from (f"{op.name} defines {y} again" for y in writes(op) if y in defined)
        read.update(reads(op))
        defined.update(writes(op))
    for tensor in program.tensors:
        if tensor.name not in defined:
            yield f"{tensor.name} is never defined"
        if tensor.name not in read:
            yield f"{tensor.name} is never read"


def _op_problems(op: Op, frame: Frame) -> Iterator[str]:
    yield from problems(op, frame)
    for name, shape in shapes(op, frame).items():
        if frame.tensors[name].shape != shape:
            yield f"{name} has shape {frame.tensors[name].shape}, not {shape}"


def _bound_problems(program: IntegerProgram) -> Iterator[str]:
    """Yield operators without a proof of their range, and proofs that prove nothing."""
    proven = {bound.op for bound in program.bounds}
    for op in program.ops:
        if isinstance(op, COMPUTING) and op.name not in proven:
            yield f"{op.name} has no bound"
    names = {op.name for op in program.ops}
    for bound in program.bounds:
        if bound.op not in names:
            yield f"a bound speaks of {bound.op}, which does not exist"
        if bound.largest > bound.limit:
            yield f"{bound.op} can reach {bound.largest}, beyond {bound.limit}"
