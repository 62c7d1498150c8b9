"""A plan as text: one TVMScript module per instruction set, the step table of the C run time, the export list."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from hawqlang.backend.render import render
from hawqlang.cache import TensorStore
from hawqlang.ir.kernels import Blob, KernelForm, KernelSet, Source
from hawqlang.resources import data_dir
from hawqlang_codegen.tvm.context import Conv, Kernel
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.layout import round_up
from hawqlang_codegen.tvm.plan import Plan, Step
from hawqlang_codegen.tvm.site import Pointer
from hawqlang_codegen.tvm.stages import stages

TEMPLATES = {
    "conv": "conv_{products}.py.j2",
    "conv16": "conv_dot.py.j2",
    "depthwise": "depthwise_{products}.py.j2",
    "wide_depthwise": "depthwise_wide.py.j2",
    "window_sums": "window_sums.py.j2",
    "affine": "affine.py.j2",
    "pixel_affine": "pixel_affine.py.j2",
    "add": "add.py.j2",
    "max_pool": "max_pool.py.j2",
    "avg_pool": "avg_pool.py.j2",
    "move": "move.py.j2",
    "renumber": "renumber.py.j2",
    "table": "table.py.j2",
    "multiply": "multiply.py.j2",
    "take": "take.py.j2",
    "rearrange": "rearrange.py.j2",
    "scatter": "scatter.py.j2",
    "resample": "resample.py.j2",
}
"""Template by kind of kernel."""
PAGE = 4096
LARGEST_BATCH = 64
"""Images side by side; a larger batch is a loop over such."""
WEIGHTS = "weights.bin"
RUNTIME = (
    *("hawq_runtime.h", "hawq_runtime.c", "hawq_cpu.h", "hawq_memory.h", "hawq_threads.h"),
    *("example.c", "example.cpp", "CMakeLists.txt", "hawq.pc"),
)
"""Files that are the same for every network: the run time, and what a program in C or C++ begins with."""


@dataclass(frozen=True, slots=True)
class PlaceText:
    """One row of the table of stored tensors."""

    name: str
    step: int
    rank: int
    shape: tuple[int, ...]
    buffer: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallText:
    """One kernel call in C."""

    kernel: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepText:
    """One step function in C."""

    name: str
    title: str
    filled: tuple[int, ...]
    calls: tuple[CallText, ...]
    bordered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TableContext:
    """What ``model_table.h.j2`` prints."""

    program: str
    version: str
    identity: str
    identity_bytes: tuple[int, ...]
    checksum: int
    arena: int
    scratch: int
    blob: int
    output: int
    input_bytes: int
    logits: int
    threads: int
    batch: int
    stages: tuple[int, ...]
    """First steps of the stages, and one past the last step."""
    kernels: tuple[tuple[str, int], ...]
    """Names, and how many pointers each takes."""
    sets: tuple[tuple[str, tuple[str, ...]], ...]
    """Per instruction set the functions of the kernels, in their order."""
    places: tuple[PlaceText, ...]
    steps: tuple[StepText, ...]


def generate(
    plan: Plan,
    store: TensorStore,
    *,
    threads: int = 1,
    batch: int = 1,
    isas: tuple[Isa, ...] = ISAS,
) -> KernelSet:
    """Return every text and binary file of a plan's library.

    Args:
        plan: What to print.
        store: Takes the weights.
        threads: How many threads an open library has unless its user says otherwise.
        batch: How many images a thread computes side by side.
        isas: Instruction sets to generate for, best first.
    """
    sources = [
        Source(
            path=f"kernels_{isa.name}.py",
            text=kernels_text(plan, isa),
            template="tvm/module.py.j2",
        )
        for isa in instruction_sets(plan, isas)
    ]
    table = render("tvm/model_table.h.j2", t=table_context(plan, threads, batch, isas))
    sources.append(Source(path="model_table.h", text=table, template="tvm/model_table.h.j2"))
    for name in RUNTIME:
        text = (data_dir("templates") / "tvm" / "runtime" / name).read_text(encoding="utf-8")
        sources.append(Source(path=name, text=text, template=f"tvm/runtime/{name}"))
    data = store.put(np.frombuffer(plan.blob.data, dtype=np.uint8))
    return KernelSet(
        backend="tvm",
        sources=tuple(sources),
        blobs=(Blob(path=WEIGHTS, data=data),),
        arena_bytes=plan.arena.size,
        arena_lower_bound_bytes=plan.live_bytes,
        forms=tuple(
            KernelForm(step=c.step, form=str(c.choice), measured=c.measured) for c in plan.chosen
        ),
    )


def kernels_text(plan: Plan, isa: Isa) -> str:
    """Return the TVMScript module of one instruction set."""
    kernels = [
        (
            f"{k.name}_{isa.name}",
            k.context,
            comment(", ".join(k.users)),
            template_of(isa, k.context),
        )
        for k in plan.kernels
        if has_kernel(isa, k.context)
    ]
    return render(
        "tvm/module.py.j2",
        program=comment(plan.program.name),
        version=compiler_version(),
        isa=isa,
        kernels=kernels,
        halves=any(k.context.kind == "conv16" for k in plan.kernels),
    )


def template_of(isa: Isa, kernel: Kernel) -> str:
    """Return the template of a kernel, by its kind and by what the instruction set multiplies with."""
    products = isa.products
    if isa.base:
        products = "amx"
    elif isinstance(kernel, Conv) and products == "madd" and kernel.winograd is not None:
        products = "winograd"
    return TEMPLATES[kernel.kind].format(products=products)


def instruction_sets(plan: Plan, isas: tuple[Isa, ...] = ISAS) -> tuple[Isa, ...]:
    """Return the sets among ``isas`` that have a kernel of their own, best first."""
    return tuple(isa for isa in isas if any(has_kernel(isa, k.context) for k in plan.kernels))


def has_kernel(isa: Isa, kernel: Kernel) -> bool:
    """Return whether an instruction set has a kernel of its own, and does not use its base's."""
    return not isa.base or (isinstance(kernel, Conv) and kernel.tiles is not None)


def table_context(
    plan: Plan, threads: int = 1, batch: int = 1, isas: tuple[Isa, ...] = ISAS
) -> TableContext:
    """Return the values of the step table."""
    program = plan.program
    names = [program.input, *(t.name for t in program.tensors if t.name != program.input)]
    number = {name: i for i, name in enumerate(names)}
    ready = {name: i for i, step in enumerate(plan.steps) for name in step.writes}
    arity = {call.kernel: len(call.pointers) for step in plan.steps for call in step.calls}
    return TableContext(
        program=escape(program.name),
        version=compiler_version(),
        identity=plan.blob.identity.hex(),
        identity_bytes=tuple(plan.blob.identity),
        checksum=plan.blob.checksum,
        arena=round_up(plan.arena.size, PAGE),
        scratch=round_up(plan.scratch, PAGE),
        blob=len(plan.blob.data),
        output=number[program.output],
        input_bytes=int(np.prod(program.tensor(program.input).shape, dtype=np.int64)),
        logits=int(np.prod(program.tensor(program.output).shape, dtype=np.int64)),
        threads=threads,
        batch=min(batch, LARGEST_BATCH),
        stages=stages(plan) if batch > 1 else (0, len(plan.steps)),
        kernels=tuple((kernel.name, arity[kernel.name]) for kernel in plan.kernels),
        sets=tuple(
            (
                isa.name,
                tuple(
                    f"{k.name}_{isa.name if has_kernel(isa, k.context) else isa.base}"
                    for k in plan.kernels
                ),
            )
            for isa in instruction_sets(plan, isas)
        ),
        places=tuple(_place(plan, name, ready.get(name, -1)) for name in names),
        steps=tuple(_step(plan, step, number) for step in plan.steps),
    )


def _place(plan: Plan, name: str, step: int) -> PlaceText:
    layout = plan.layouts.of[name]
    shape = plan.program.tensor(name).shape
    return PlaceText(
        name=escape(name),
        step=step,
        rank=len(shape),
        shape=shape,
        buffer=plan.arena.offset[plan.layouts.buffer[name]] + layout.channel * layout.element,
        numbers=(
            layout.element,
            layout.bias,
            layout.zero,
            layout.height,
            layout.width,
            layout.channels,
            layout.pixel,
            layout.top,
            layout.left,
            layout.bottom,
            layout.right,
        ),
    )


def _step(plan: Plan, step: Step, number: dict[str, int]) -> StepText:
    layouts = plan.layouts
    written = [layouts.whole[name] for name in step.writes if step.calls]
    bordered = [name for name in written if layouts.of[name].has_halo and name not in step.filled]
    return StepText(
        name=escape(step.name),
        title=comment(f"{step.name}: {step.kind}").replace("*/", "* /"),
        filled=tuple(number[name] for name in step.filled),
        calls=tuple(
            CallText(call.kernel, tuple(_argument(plan, p) for p in call.pointers))
            for call in step.calls
        ),
        bordered=tuple(number[name] for name in bordered),
    )


def _argument(plan: Plan, pointer: Pointer) -> str:
    match pointer.space:
        case "blob":
            return f"W({pointer.offset})"
        case "scratch":
            return f"(void *)(m->scratch + {pointer.offset})" if pointer.offset else "S"
        case "arena":
            return f"A({plan.arena.offset[pointer.tensor] + pointer.offset})"


def escape(text: str) -> str:
    """Return ``text`` as the inside of a C string literal."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )


def comment(text: str) -> str:
    """Return ``text`` on one line, so that it cannot leave a comment or a docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"""', "'''")


def compiler_version() -> str:
    """Return the version of hawqc."""
    try:
        return version("hawqc")
    except PackageNotFoundError:
        return "(source)"
