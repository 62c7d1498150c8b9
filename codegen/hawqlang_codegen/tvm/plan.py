"""A program as memory, constants, distinct kernels and steps: all that the templates print."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.integer import IntegerOp, IntegerProgram
from hawqlang.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
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
from hawqlang_codegen.tvm import convolutions, maps, places
from hawqlang_codegen.tvm.arena import Arena
from hawqlang_codegen.tvm.blob import Blob, BlobBuilder
from hawqlang_codegen.tvm.context import Conv, Depthwise, Kernel
from hawqlang_codegen.tvm.layout import Layouts
from hawqlang_codegen.tvm.memory import plan_memory
from hawqlang_codegen.tvm.select import Choice, Work
from hawqlang_codegen.tvm.sharing import in_order
from hawqlang_codegen.tvm.site import Call, Chosen, Pointer, Site

INDEX_LIMIT = 1 << 31
MODELLED: Mapping[Work, Choice] = {}
"""Nothing was measured."""
DIGITS = 8
"""Of the digest that tells kernels of one kind apart."""


@dataclass(frozen=True, slots=True)
class NamedKernel:
    """A distinct kernel, its name, and the steps that use it."""

    name: str
    context: Kernel
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamedCall:
    """A kernel by name, with its arguments."""

    kernel: str
    pointers: tuple[Pointer, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: its calls, and the tensors that are complete after it."""

    name: str
    kind: str
    filled: tuple[str, ...]
    """Tensors whose whole buffer is set to the zero point first."""
    calls: tuple[NamedCall, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a program that its generated text says."""

    program: IntegerProgram
    layouts: Layouts
    arena: Arena
    live_bytes: int
    """The most that is alive at one step: no arena can be smaller."""
    scratch: int
    """Bytes of working memory that kernels without byte products need."""
    blob: Blob
    kernels: tuple[NamedKernel, ...]
    steps: tuple[Step, ...]
    chosen: tuple[Chosen, ...]
    """The forms of kernels that there is a choice of."""


def plan_program(
    program: IntegerProgram, store: TensorStore, measured: Mapping[Work, Choice] = MODELLED
) -> Plan:
    """Return the plan of ``program``; the same program and choices give the same plan.

    Args:
        program: What to run.
        store: Holds its constants.
        measured: Forms of kernels that measurements chose; the model chooses the others.
    """
    memory = plan_memory(program)
    layouts = memory.layouts
    check_sizes(program, layouts)
    blob = BlobBuilder()
    tensors = {tensor.name: tensor for tensor in program.tensors}
    site = Site(tensors=tensors, layouts=layouts, blob=blob, constant=store.get, measured=measured)
    calls = [_translate(in_order(op, layouts.buffer), site) for op in program.ops]
    kernels = _name_kernels(program, calls)
    names = {kernel.context: kernel.name for kernel in kernels}
    steps = tuple(
        Step(
            name=op.name,
            kind=op.op,
            filled=(op.output,) if isinstance(op, Pad) else (),
            calls=tuple(NamedCall(names[call.kernel], call.pointers) for call in group),
            writes=writes(op),
        )
        for op, group in zip(program.ops, calls, strict=True)
    )
    return Plan(
        program=program,
        layouts=layouts,
        arena=memory.arena,
        live_bytes=memory.live_bytes,
        scratch=max(
            (k.context.scratch for k in kernels if isinstance(k.context, Conv | Depthwise)),
            default=0,
        ),
        blob=blob.finish(),
        kernels=kernels,
        steps=steps,
        chosen=tuple(site.chosen),
    )


def check_sizes(program: IntegerProgram, layouts: Layouts) -> None:
    """Refuse what the kernels' 32-bit indices cannot address.

    Raises:
        HawqError: a stored tensor takes 2 GiB or more (HQ701).
    """
    for tensor in program.tensors:
        size = layouts.of[tensor.name].size
        if size >= INDEX_LIMIT:
            raise HawqError(
                Diagnostic(
                    code="HQ701",
                    severity="error",
                    message=f"tensor {tensor.name} {list(tensor.shape)} takes {size} bytes",
                    notes=("kernels address tensors with 32-bit indices, so below 2 GiB",),
                    help="give the model a smaller input",
                )
            )


def _translate(op: IntegerOp, site: Site) -> list[Call]:  # noqa: C901, PLR0912 - one case an operator
    match op:
        case Conv2d():
            calls = convolutions.conv2d(op, site)
        case Linear():
            calls = convolutions.linear(op, site)
        case Affine():
            calls = maps.affine(op, site)
        case Add():
            calls = maps.add(op, site)
        case MaxPool2d():
            calls = maps.max_pool(op, site)
        case AvgPool2d():
            calls = maps.avg_pool(op, site)
        case Concat() | Pad() | Slice() | Reshape():
            calls = maps.move(op, site)
        case Table():
            calls = places.table(op, site)
        case Multiply():
            calls = places.multiply(op, site)
        case Rearrange():
            calls = places.rearrange(op, site)
        case Take():
            calls = places.take(op, site)
        case Resample():
            calls = places.resample(op, site)
        case _:
            assert_never(op)
    return calls


def _name_kernels(program: IntegerProgram, calls: list[list[Call]]) -> tuple[NamedKernel, ...]:
    """Return the distinct kernels in order of use, each named by what it computes, whatever network it is in."""
    users: dict[Kernel, list[str]] = {}
    for op, group in zip(program.ops, calls, strict=True):
        for call in group:
            users.setdefault(call.kernel, []).append(op.name)
    codes = {kernel: hashlib.sha256(repr(kernel).encode()).hexdigest() for kernel in users}
    digits = next(
        n for n in range(DIGITS, 65) if len({c[:n] for c in codes.values()}) == len(codes)
    )
    return tuple(
        NamedKernel(f"{kernel.kind}_{codes[kernel][:digits]}", kernel, tuple(dict.fromkeys(names)))
        for kernel, names in users.items()
    )
