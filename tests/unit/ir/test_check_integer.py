"""A malformed program is named as such, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.ir.check_integer import MalformedProgramError, program_problems, verify_program
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Affine, AvgPool2d, Conv2d, Linear, Op, Slice
from tests.unit.stages.lower.harness import Lowered, lowered
from tests.unit.stages.nets import residual_net


@pytest.fixture(scope="module")
def sound() -> Lowered:
    return lowered(residual_net(), precisions={"b1.conv1": Precision(wbits=4, abits=4)})


def with_op(program: IntegerProgram, name: str, **changes: Any) -> IntegerProgram:
    ops = tuple(op.replace(**changes) if op.name == name else op for op in program.ops)
    return program.replace(ops=ops)


def with_tensor(program: IntegerProgram, name: str, **changes: Any) -> IntegerProgram:
    tensors = tuple(t.replace(**changes) if t.name == name else t for t in program.tensors)
    return program.replace(tensors=tensors)


def op_of(program: IntegerProgram, name: str) -> Op:
    return next(op for op in program.ops if op.name == name)


def with_store(found: Lowered, name: str, **changes: Any) -> IntegerProgram:
    op = op_of(found.program, name)
    assert isinstance(op, Conv2d | Linear | AvgPool2d)
    first, *rest = op.stores
    return with_op(found.program, name, stores=(first.replace(**changes), *rest))


def with_addend(found: Lowered, **changes: Any) -> IntegerProgram:
    op = op_of(found.program, "b1.conv2")
    assert isinstance(op, Conv2d)
    addend = op.stores[0].addend
    assert addend is not None
    return with_store(found, "b1.conv2", addend=addend.replace(**changes))


def swapped(program: IntegerProgram) -> IntegerProgram:
    first, second, *rest = program.ops
    return program.replace(ops=(second, first, *rest))


def constant(found: Lowered, *values: int, dtype: str = "int32") -> Any:
    return found.store.put(np.array(values, dtype=dtype))


BREAKS: dict[str, tuple[Callable[[Lowered], IntegerProgram], str]] = {
    "order": (lambda f: swapped(f.program), "stem reads x:s8 before it is defined"),
    "no bound": (lambda f: f.program.replace(bounds=f.program.bounds[1:]), "x has no bound"),
    "bound passed": (
        lambda f: f.program.replace(
            bounds=(f.program.bounds[0].replace(largest=2**31), *f.program.bounds[1:])
        ),
        "x can reach 2147483648, beyond 2147483647",
    ),
    "undeclared": (
        lambda f: f.program.replace(tensors=f.program.tensors[1:]),
        "['x:pixels', 'x:pixels'] are not declared",
    ),
    "twice": (
        lambda f: f.program.replace(ops=(*f.program.ops[:1], *f.program.ops)),
        "two operators share a name",
    ),
    "unread": (
        lambda f: f.program.replace(
            tensors=(*f.program.tensors, f.program.tensors[1].replace(name="spare"))
        ),
        "spare is never defined",
    ),
    "shape": (
        lambda f: with_tensor(f.program, "stem.relu:u8", shape=(8, 8, 5)),
        "stem.relu:u8 has shape (8, 8, 5), not (8, 8, 4)",
    ),
    "zero point outside": (
        lambda f: with_tensor(f.program, "stem.relu:u8", zero_point=256),
        "stem.relu:u8 has zero point 256 outside [0, 255]",
    ),
    "zero point of a store": (
        lambda f: with_store(f, "stem", zero_point=3),
        "stem.relu:u4 has zero point 0, not 3",
    ),
    "width": (
        lambda f: with_tensor(f.program, "stem.relu:u8", bits=17),
        "stem.relu:u8 has 17 bits",
    ),
    "clamp": (
        lambda f: with_store(f, "stem", hi=16),
        "stem.relu:u4: clamp [0, 16] is not within [0, 15]",
    ),
    "output": (
        lambda f: f.program.replace(output="stem.relu:u8"),
        "the output stem.relu:u8 is not an int32 vector",
    ),
    "input": (
        lambda f: with_tensor(f.program, "x:pixels", signed=True),
        "the input x:pixels is not uint8",
    ),
    "multiplier": (
        lambda f: with_store(f, "stem", multiplier=constant(f, 1, 2, 3, -4)),
        "stem: multiplier -4..3 is out of range",
    ),
    "shift": (
        lambda f: with_store(f, "stem", shift=constant(f, 0, 40, 63, 4, dtype="uint8")),
        "stem: shift 0..63 is not in [1, 62]",
    ),
    "number of multipliers": (
        lambda f: with_store(f, "stem", multiplier=constant(f, 1, 2), shift=constant(f, 1, 2)),
        "stem.relu:u4: 2 multipliers, not one of (1, 4)",
    ),
    "operand's multiplier": (
        lambda f: with_addend(f, multiplier=2**22),
        "multiplier 4194304 is not in [0, 2^22)",
    ),
    "operand's shift": (lambda f: with_addend(f, shift=31), "shift 31 is not in [1, 30]"),
    "operand's zero point": (
        lambda f: with_addend(f, zero_point=5),
        "addend stem.relu:u8 has zero point 0, not 5",
    ),
    "weights": (
        lambda f: with_op(f.program, "stem", weight_bits=4),
        "stem: packed weights have the wrong size",
    ),
    "bias": (
        lambda f: with_op(f.program, "stem", bias=constant(f, 1)),
        "stem: (1,) biases for 4 channels",
    ),
    "groups": (
        lambda f: with_op(f.program, "stem", groups=3),
        "weight (4, 3, 3, 3) in 3 groups does not fit input (8, 8, 3)",
    ),
    "populations": (
        lambda f: with_op(f.program, "pool", populations=(15,)),
        "pool: populations (15,), not (16,)",
    ),
    "slice": (
        lambda f: with_op(f.program, "b2.slice", stop=(9, 8, 4)),
        "b2.slice: stop (9, 8, 4) is beyond (8, 8, 4)",
    ),
    "move between types": (
        lambda f: with_tensor(f.program, "b2.slice:u8", zero_point=1),
        "stem.relu:u8 and b2.slice:u8 differ"[12:],
    ),
    "linear": (
        lambda f: with_op(f.program, "fc", weight_shape=(5, 7)),
        "fc: weight (5, 7) does not fit input (8,)",
    ),
    "affine": (
        lambda f: with_op(f.program, "x", add=constant(f, 1, dtype="int64")),
        "x: offsets and multipliers differ in shape",
    ),
}


def test_a_sound_program_is_returned_as_it_is(sound: Lowered) -> None:
    assert verify_program(sound.program, sound.store) is sound.program
    kinds = {type(op) for op in sound.program.ops}
    assert {Affine, Conv2d, Linear, AvgPool2d, Slice} <= kinds


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_program_is_named(what: str, sound: Lowered) -> None:
    change, message = BREAKS[what]
    broken = change(sound)
    assert message in "; ".join(program_problems(broken, sound.store))
    with pytest.raises(MalformedProgramError, match="program 'net'"):
        verify_program(broken, sound.store)


def test_a_program_survives_json(sound: Lowered) -> None:
    text = sound.program.model_dump_json()
    assert IntegerProgram.model_validate_json(text) == sound.program
