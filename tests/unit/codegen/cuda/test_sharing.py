"""Which tensors share device memory: sums in the place of an operand, concatenations written in place."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Concat, Conv2d, Reshape
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.context import Conv
from hawqlang_codegen.cuda.layout import Layouts, Readers, choose_layouts
from hawqlang_codegen.cuda.plan import Plan, plan_program
from hawqlang_codegen.tvm.memory import alive
from hawqlang_codegen.tvm.sharing import addends, sums
from tests.semantics.families import network, sharing
from tests.semantics.programs import Builder

SM_80 = (ARCHES["sm_80"],)


def planned(b: Builder, x: str) -> Plan:
    """The plan of a network that ends in ``x``."""
    program = b.program(b.linear(b.flatten(x), 4, bits=(32,)))
    return plan_program(program, b.store, SM_80, 1)


def in_place(plan: Plan) -> list[str]:
    """The layers that overwrite an operand."""
    launches = [(step.name, step.launch) for step in plan.steps]
    return [
        name
        for name, launch in launches
        if isinstance(launch, Conv) and any(store.in_place for store in launch.stores)
    ]


def test_a_residual_sum_takes_the_place_of_its_operand() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(7, 7, 3)), 32)
    y = b.conv(b.conv(x, 32), 32, addend=x)
    plan = planned(b, y)
    assert plan.layouts.buffer[y] == x
    assert in_place(plan) == [plan.steps[3].name]


def test_an_operand_that_is_read_later_or_by_the_same_product_is_kept() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(7, 7, 3)), 32)
    y = b.conv(x, 32, addend=x)
    z = b.conv(y, 32, addend=x)
    plan = planned(b, z)
    assert plan.layouts.buffer[y] == y
    assert plan.layouts.buffer[z] == x


def test_a_depthwise_layer_writes_its_part_in_place() -> None:
    b = Builder(np.random.default_rng(0))
    b.zero_point = 3
    x = b.conv(b.affine(b.image(6, 6, 3)), 32, signed=False)
    parts = [b.conv(x, 32, groups=32, signed=False), b.conv(x, 20, signed=False)]
    y = b.concat(*parts)
    plan = planned(b, y)
    assert [plan.layouts.buffer[part] for part in parts] == [y, y]
    assert [plan.layouts.of[part].channel for part in parts] == [0, 32]
    assert plan.steps[4].launch is None


@pytest.mark.parametrize(("first", "placed"), [(16, False), (32, True)])
def test_a_part_of_nibbles_begins_at_a_whole_chunk(first: int, placed: bool) -> None:
    b = Builder(np.random.default_rng(0))
    b.zero_point = 3
    none = (0, 0, 0, 0)
    x = b.conv(b.affine(b.image(6, 6, 3)), 32, signed=False)
    parts = [b.conv(x, n, (1, 1), padding=none, bits=(4,), signed=False) for n in (first, 32)]
    y = b.concat(*parts)
    z = b.conv(y, 16, (1, 1), padding=none, weight_bits=4, bits=(32,))
    products = frozenset(op.name for op in b.ops if isinstance(op, Conv2d))
    layouts = choose_layouts(b.program(z), Readers(products, frozenset((b.ops[-1].name,))))
    assert layouts.of[y].nibbles
    assert layouts.buffer[parts[0]] == y
    assert (layouts.buffer[parts[1]] == y) is placed


def test_the_callers_memory_is_nobodys_place() -> None:
    b = Builder(np.random.default_rng(0))
    b.zero_point = 0
    x = b.flatten(b.affine(b.image(2, 2, 4)))
    parts = [b.linear(x, 16, bits=(32,)) for _ in range(2)]
    program = b.program(b.concat(*parts))
    layouts = plan_program(program, b.store, SM_80, 1).layouts
    assert [layouts.buffer[part] for part in parts] == parts
    total = Builder(np.random.default_rng(0))
    x = total.flatten(total.affine(total.image(2, 2, 4)))
    program = total.program(total.linear(x, 16, bits=(32,), addend=total.linear(x, 16, bits=(32,))))
    layouts = plan_program(program, total.store, SM_80, 1).layouts
    assert layouts.buffer[program.output] == program.output


def bytes_of(layouts: Layouts, name: str) -> set[int]:
    """The lanes of a pixel that hold a tensor's own values."""
    layout = layouts.of[name]
    return set(range(layout.channel, layout.channel + layout.channels))


def meant(program: IntegerProgram, step: int) -> set[frozenset[str]]:
    """Pairs that may stand in one place at a step."""
    pairs = {frozenset((op.x, op.output)) for op in program.ops if isinstance(op, Reshape)}
    joined = {op.output: op.inputs for op in program.ops if isinstance(op, Concat)}
    for whole, inputs in joined.items():
        within = [*inputs, *(x for name in inputs for x in joined.get(name, ()))]
        pairs |= {frozenset((whole, x)) for x in within}
    if 0 <= step < len(program.ops):
        op = program.ops[step]
        pairs |= {frozenset((store.output, x)) for store in sums(op) for x in addends(store)}
    return pairs


@pytest.mark.parametrize("seed", range(12))
def test_tensors_alive_together_never_overlap(seed: int) -> None:
    program, store = sharing(seed) if seed < 3 else network(seed)
    plan = plan_program(program, store, SM_80, 1)
    layouts, found = plan.layouts, alive(program)
    inner = [t.name for t in program.tensors if not layouts.of[t.name].outside]
    for step in range(-1, len(program.ops) + 1):
        now = [name for name in inner if found[name][0] <= step <= found[name][1]]
        for a, b in combinations(now, 2):
            own, other = layouts.buffer[a], layouts.buffer[b]
            start, its = plan.arena.offset[own], plan.arena.offset[other]
            if own != other:
                apart = start + layouts.of[own].size <= its or its + layouts.of[other].size <= start
                assert apart, (step, a, b)
            elif bytes_of(layouts, a) & bytes_of(layouts, b):
                assert frozenset((a, b)) in meant(program, step), (step, a, b)
