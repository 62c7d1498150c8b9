"""A program as memory, constants and launches: all that the template prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerOp, IntegerProgram
from hawqlang.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Frame,
    Linear,
    MaxPool2d,
    Multiply,
    Pad,
    Rearrange,
    Resample,
    Reshape,
    Slice,
    Table,
    Take,
    writes,
)
from hawqlang_codegen.cuda import convolutions, maps
from hawqlang_codegen.cuda.arch import Arch
from hawqlang_codegen.cuda.context import Conv, Launch
from hawqlang_codegen.cuda.layout import (
    ALIGNMENT,
    VECTOR,
    Layouts,
    Readers,
    choose_layouts,
)
from hawqlang_codegen.cuda.site import IntArray, Site, unserved
from hawqlang_codegen.tvm.arena import Arena, Lifetime, plan_arena
from hawqlang_codegen.tvm.blob import Blob, BlobBuilder
from hawqlang_codegen.tvm.layout import round_up
from hawqlang_codegen.tvm.memory import least_memory, lifetimes
from hawqlang_codegen.tvm.sharing import in_order

INDEX_LIMIT = 1 << 31


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: its launch, none where nothing moves, and the tensors that are complete after it."""

    name: str
    kind: str
    launch: Launch | None
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a program that its generated text says."""

    program: IntegerProgram
    archs: tuple[Arch, ...]
    images: int
    number: dict[str, int]
    layouts: Layouts
    arena: Arena
    blob: Blob
    steps: tuple[Step, ...]


def plan_program(
    program: IntegerProgram, store: TensorStore, archs: tuple[Arch, ...], images: int
) -> Plan:
    """Return the plan of ``program``; the same program gives the same plan.

    Args:
        program: A verified program.
        store: Holds its constants.
        archs: Architectures to choose tiles for.
        images: The batch for which tiles are chosen.

    Raises:
        HawqError: no kernel serves an operator (HQ703), or a tensor is too large (HQ701).
    """
    tensors = {tensor.name: tensor for tensor in program.tensors}
    frame = Frame({}, tensors, store.get)
    weights: dict[str, IntArray] = {
        op.name: frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)
        for op in program.ops
        if isinstance(op, Conv2d | Linear)
    }
    wishes = convolutions.readers(program, weights)
    layouts = least_memory(program, lambda p, copied: choose_layouts(p, wishes, copied)).layouts
    names = [program.input, *(t.name for t in program.tensors if t.name != program.input)]
    blob = BlobBuilder()
    site = Site(
        tensors=tensors,
        number={name: i for i, name in enumerate(names)},
        layouts=layouts,
        blob=blob,
        constant=store.get,
        archs=archs,
        images=images,
    )
    _check_sizes(program, site)
    launches = [
        _translate(in_order(op, layouts.buffer), weights, site, wishes) for op in program.ops
    ]
    steps = tuple(
        Step(op.name, op.op, launch, writes(op))
        for op, launch in zip(program.ops, launches, strict=True)
    )
    return Plan(
        program=program,
        archs=archs,
        images=images,
        number=dict(site.number),
        layouts=layouts,
        arena=plan_arena([*lifetimes(program, layouts), *_scratch(launches)]),
        blob=blob.finish(),
        steps=steps,
    )


def _check_sizes(program: IntegerProgram, site: Site) -> None:
    """Refuse what the kernels' 32-bit offsets within an image, or counts of pixels over all, cannot address."""
    for op in program.ops:
        for name in writes(op):
            layout = site.layout(name)
            vectors = layout.height * layout.width * -(-layout.channels // VECTOR) * site.images
            size = layout.elements * layout.bits // 8
            if size >= INDEX_LIMIT or vectors >= INDEX_LIMIT // 2:
                raise unserved(
                    op.name, f"{name} takes {size} bytes an image, {vectors} vectors a batch"
                )


def _translate(
    op: IntegerOp, weights: dict[str, IntArray], site: Site, wishes: Readers
) -> Launch | None:
    match op:
        case Conv2d():
            launch = convolutions.conv2d(op, weights[op.name], site, wishes)
        case Linear():
            launch = convolutions.linear(op, weights[op.name], site, wishes)
        case Affine():
            launch = maps.affine(op, site)
        case Add():
            launch = maps.add(op, site)
        case MaxPool2d():
            launch = maps.max_pool(op, site)
        case AvgPool2d():
            launch = maps.avg_pool(op, site)
        case Concat() | Pad() | Slice():
            launch = maps.move(op, site)
        case Reshape():
            launch = maps.reshape(op, site)
        case Table() | Multiply() | Rearrange() | Take() | Resample():
            raise unserved(op.name, f"there is no kernel for {op.op}")
        case _:
            assert_never(op)
    return launch


def _scratch(launches: Sequence[Launch | None]) -> Iterator[Lifetime]:
    """Yield the memory that split sums need during their step."""
    for i, launch in enumerate(launches):
        if isinstance(launch, Conv) and launch.scratch:
            yield Lifetime(launch.scratch, round_up(launch.scratch_bytes, ALIGNMENT), i, i)
