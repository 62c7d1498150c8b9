"""The arena: no two tensors alive together share bytes, nothing is copied without need, and little room is wasted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Concat, Reshape, reads, writes
from hawqlang_codegen.tvm.arena import Lifetime, plan_arena
from hawqlang_codegen.tvm.layout import LANES, Layouts, round_up
from hawqlang_codegen.tvm.memory import alive, plan_memory
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.sharing import addends, choose_layouts, sums
from tests.semantics.families import network, sharing
from tests.semantics.programs import Builder
from tests.support.zoo_programs import SIDES, zoo_program
from tests.unit.codegen.tvm.inception import inception

MARGIN = 1.05
spans = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=6
)


def lanes(layouts: Layouts, name: str) -> set[int]:
    """The lanes of a pixel that hold a tensor's values."""
    layout = layouts.of[name]
    return set(range(layout.channel, layout.channel + layout.channels))


def allowed_together(program: IntegerProgram, step: int) -> set[frozenset[str]]:
    """Pairs of tensors that may stand in one place at a step: a sum and its operand, a reshape and its input."""
    if not 0 <= step < len(program.ops):
        return set()
    op = program.ops[step]
    return {frozenset((store.output, x)) for store in sums(op) for x in addends(store)}


def views(program: IntegerProgram, layouts: Layouts) -> set[frozenset[str]]:
    """Pairs that hold the same values in the same place throughout."""
    found: set[frozenset[str]] = set()
    for op in program.ops:
        if isinstance(op, Reshape):
            found.add(frozenset((op.x, op.output)))
        if isinstance(op, Concat):
            found |= {frozenset((x, op.output)) for x in op.inputs}
            inner = {x: one for one in program.ops if isinstance(one, Concat) for x in one.inputs}
            for x in op.inputs:
                outer = inner.get(op.output)
                if outer is not None:
                    found.add(frozenset((x, outer.output)))
    return found


def assert_sound(program: IntegerProgram) -> tuple[int, int]:
    """No two tensors alive at a step overlap; return the arena's bytes and the bound."""
    memory = plan_memory(program)
    layouts, arena = memory.layouts, memory.arena
    found = alive(program)
    same = views(program, layouts)
    for step in range(-1, len(program.ops) + 1):
        now = [name for name, (first, last) in found.items() if first <= step <= last]
        for a, b in combinations(now, 2):
            start, other = (arena.offset[layouts.buffer[name]] for name in (a, b))
            if layouts.buffer[a] != layouts.buffer[b]:
                apart = start + layouts.of[a].size <= other or other + layouts.of[b].size <= start
                assert apart, (step, a, b)
            elif lanes(layouts, a) & lanes(layouts, b):
                assert frozenset((a, b)) in same | allowed_together(program, step), (step, a, b)
    return arena.size, memory.live_bytes


@pytest.mark.parametrize("name", sorted(SIDES))
def test_every_network_of_the_zoo_is_planned_within_five_percent_of_the_bound(name: str) -> None:
    program, _ = zoo_program(name)
    size, bound = assert_sound(program)
    assert bound <= size <= MARGIN * bound


def test_inception_writes_every_concatenation_in_place() -> None:
    program = inception()
    layouts = choose_layouts(program)
    size, bound = assert_sound(program)
    assert bound <= size <= MARGIN * bound
    for op in program.ops:
        if isinstance(op, Concat):
            assert {layouts.buffer[x] for x in op.inputs} == {layouts.buffer[op.output]}


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_are_planned_within_five_percent_of_the_bound(seed: int) -> None:
    size, bound = assert_sound(network(seed)[0])
    assert size <= MARGIN * bound


@settings(deadline=None)
@given(spans)
def test_a_plan_of_few_buffers_is_the_best_of_all_orders(
    drawn: list[tuple[int, int, int]],
) -> None:
    buffers = [
        Lifetime(name=str(i), size=64 * size, first=first, last=first + length)
        for i, (size, first, length) in enumerate(drawn)
    ]
    arena = plan_arena(buffers)
    assert arena.lower_bound <= arena.size <= min(map(first_fit, permutations(buffers)))


def first_fit(order: Sequence[Lifetime]) -> int:
    """The size of an arena into which buffers go one by one, each as low as it can."""
    placed: list[tuple[int, Lifetime]] = []
    for buffer in order:
        start = 0
        for offset, other in sorted(placed, key=lambda p: p[0]):
            if buffer.meets(other):
                if offset - start >= buffer.size:
                    break
                start = max(start, offset + other.size)
        placed.append((start, buffer))
    return max(offset + buffer.size for offset, buffer in placed)


def test_an_order_by_size_that_wastes_room_is_improved() -> None:
    """Five buffers whose order by falling size leaves a hole that nothing fits."""
    drawn = [(5, 0, 2), (4, 2, 3), (3, 1, 1), (3, 3, 4), (2, 0, 1), (6, 4, 5)]
    buffers = [
        Lifetime(name=str(i), size=64 * size, first=first, last=last)
        for i, (size, first, last) in enumerate(drawn)
    ]
    arena = plan_arena(buffers)
    assert arena.size == arena.lower_bound


def test_a_sum_takes_the_place_of_an_operand_that_nothing_reads_afterwards() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(7, 7, 3)), 16)
    y = b.conv(b.conv(x, 16), 16, addend=x)
    layouts = choose_layouts(b.program(b.linear(b.flatten(y), 4, bits=(32,))))
    assert layouts.buffer[y] == x


def test_an_operand_that_is_read_later_is_kept() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(7, 7, 3)), 16)
    y = b.conv(b.conv(x, 16), 16, addend=x)
    z = b.conv(y, 16, addend=x)
    layouts = choose_layouts(b.program(b.linear(b.flatten(z), 4, bits=(32,))))
    assert layouts.buffer[y] == y
    assert layouts.buffer[z] == x


def test_the_input_of_a_convolution_is_never_overwritten() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(7, 7, 3)), 16)
    y = b.conv(x, 16, addend=x)
    layouts = choose_layouts(b.program(b.linear(b.flatten(y), 4, bits=(32,))))
    assert layouts.buffer[y] == y


def test_a_wider_operand_is_not_overwritten_by_a_narrower_result() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(7, 7, 3)), 16, bits=(16,))
    y = b.conv(b.affine(b.image(7, 7, 3)), 16, addend=x)
    layouts = choose_layouts(b.program(b.linear(b.flatten(y), 4, bits=(32,))))
    assert layouts.buffer[y] == y


def test_parts_that_begin_within_a_vector_are_copied() -> None:
    program, store = sharing(0)
    plan = plan_program(program, store)
    layouts = plan.layouts
    inner = next(op for op in program.ops if isinstance(op, Concat))
    copied = [x for x in inner.inputs if layouts.buffer[x] == x]
    assert [program.tensor(x).shape[-1] for x in copied] == [7]
    step = next(step for step in plan.steps if step.name == inner.name)
    assert len(step.calls) == 1
    for x in set(inner.inputs) - set(copied):
        assert layouts.whole[x] == layouts.buffer[inner.output]
        assert layouts.of[x].channel % LANES == 0
        last = layouts.of[x].channel + round_up(layouts.of[x].channels, LANES)
        assert last <= layouts.of[x].pixel


def test_every_tensor_is_alive_from_its_step_to_its_last_reader() -> None:
    program, _ = sharing(0)
    found = alive(program)
    for step, op in enumerate(program.ops):
        assert all(found[name][0] == step for name in writes(op))
        assert all(found[name][0] <= step <= found[name][1] for name in reads(op))
    assert found[program.output][1] == len(program.ops)
