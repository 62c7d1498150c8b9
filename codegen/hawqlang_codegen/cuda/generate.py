"""A plan as text: one translation unit of steps and tables beside the kernels, which are the same for every network."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np

from hawqlang.backend.render import render
from hawqlang.cache import TensorStore
from hawqlang.ir.kernels import Blob, KernelSet, Source
from hawqlang.resources import data_dir
from hawqlang_codegen.cuda.arch import ARCHES, Arch
from hawqlang_codegen.cuda.context import Conv, Launch
from hawqlang_codegen.cuda.layout import ALIGNMENT
from hawqlang_codegen.cuda.plan import Plan
from hawqlang_codegen.tvm.generate import comment, compiler_version, escape
from hawqlang_codegen.tvm.layout import round_up

BACKEND = "cuda"
MODEL = "model.cu"
WEIGHTS = "weights.bin"
MAPS = "maps.cu"
"""Kernels without tensor cores."""
PRODUCT = "cuda/product.cu.j2"
CHOICES = "kernels.json"
HEADERS = (
    "device.cuh",
    "emulation.hpp",
    "tensor.cuh",
    "conv_igemm.cuh",
    "conv_direct.cuh",
    "maps.cuh",
    "pools.cuh",
    "maps.cu",
    "steps.cuh",
    "interface.cuh",
    "hawq_cuda.h",
)
RUNTIME_HEADER = "hawq_runtime.h"


@dataclass(frozen=True, slots=True)
class Product:
    """A kernel of products, and the architectures whose layers use it."""

    arguments: str
    """Of the template, as C++."""
    archs: tuple[str, ...]

    @property
    def file(self) -> str:
        """Return the name of its source."""
        words = re.findall(r"\w+", self.arguments.replace("Tile", "").replace(", false", ""))
        return f"product_{'_'.join(word.removeprefix('k').lower() for word in words)}.cu"


def products(plan: Plan) -> tuple[Product, ...]:
    """Return the kernels of products that a plan's layers use, in a fixed order."""
    users: dict[str, set[int]] = {}
    for step in plan.steps:
        if isinstance(step.launch, Conv):
            launch = step.launch
            words = "true" if launch.words else "false"
            for variant in launch.variants:
                arguments = f"{variant.tile}, {launch.operands}, {launch.form}, {words}"
                users.setdefault(arguments, set()).update(variant.rows)
    return tuple(
        Product(arguments, tuple(plan.archs[row].name for row in sorted(rows)))
        for arguments, rows in sorted(users.items())
    )


@dataclass(frozen=True, slots=True)
class TensorText:
    """One row of the table of stored tensors."""

    name: str
    shape: tuple[int, ...]
    format: str
    bits: int
    extent: tuple[int, int, int]
    pixel: int
    channel: int
    """Bytes of a pixel before the first channel."""
    lanes: int
    """Channels that it may read and write, to whole vectors."""
    offset: int
    step: int


@dataclass(frozen=True, slots=True)
class StepText:
    """One step function."""

    name: str
    title: str
    launch: Launch | None
    scratch: int
    """Offset of the memory for split sums."""


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What ``model.cu.j2`` prints."""

    program: str
    version: str
    identity: tuple[int, ...]
    checksum: int
    blob: int
    arena: int
    batch: int
    output: int
    archs: tuple[Arch, ...]
    emulated: tuple[bool, ...]
    tensors: tuple[TensorText, ...]
    steps: tuple[StepText, ...]


def generate(plan: Plan, store: TensorStore) -> KernelSet:
    """Return every text and binary file of a plan's folder."""
    found = products(plan)
    sources = [
        Source(path=name, text=_read(f"cuda/{name}"), template=f"cuda/{name}") for name in HEADERS
    ]
    sources += [
        Source(
            path=RUNTIME_HEADER,
            text=_read(f"tvm/runtime/{RUNTIME_HEADER}"),
            template=f"tvm/runtime/{RUNTIME_HEADER}",
        ),
        _rendered(MODEL, m=model_context(plan)),
        _rendered("CMakeLists.txt", archs=plan.archs, products=found),
        *(Source(path=p.file, text=render(PRODUCT, p=p), template=PRODUCT) for p in found),
        Source(path=CHOICES, text=choices_text(plan), template="cuda/kernels.json"),
    ]
    data = store.put(np.frombuffer(plan.blob.data, dtype=np.uint8))
    return KernelSet(
        backend=BACKEND,
        sources=tuple(sources),
        blobs=(Blob(path=WEIGHTS, data=data),),
        arena_bytes=plan.arena.size,
        arena_lower_bound_bytes=plan.arena.lower_bound,
    )


def model_context(plan: Plan) -> ModelContext:
    """Return the values of the generated translation unit."""
    program = plan.program
    return ModelContext(
        program=comment(program.name),
        version=compiler_version(),
        identity=tuple(plan.blob.identity),
        checksum=plan.blob.checksum,
        blob=len(plan.blob.data),
        arena=round_up(plan.arena.size, ALIGNMENT),
        batch=plan.images,
        output=plan.number[program.output],
        archs=plan.archs,
        emulated=emulated(plan),
        tensors=tuple(_tensor(plan, name) for name in plan.number),
        steps=tuple(
            StepText(
                name=escape(step.name),
                title=comment(f"{step.name}: {step.kind}"),
                launch=step.launch,
                scratch=_scratch(plan, step.launch),
            )
            for step in plan.steps
        ),
    )


def emulated(plan: Plan) -> tuple[bool, ...]:
    """Return for each architecture whether it is run in emulation: the first of its kind with its tiles and splits."""
    launches = [step.launch for step in plan.steps if isinstance(step.launch, Conv)]
    ways = [
        (
            arch.kind,
            tuple(
                (variant.tile, variant.parts)
                for launch in launches
                for variant in launch.variants
                if row in variant.rows
            ),
        )
        for row, arch in enumerate(plan.archs)
    ]
    return tuple(way not in ways[:row] for row, way in enumerate(ways))


def choices_text(plan: Plan) -> str:
    """Return, as JSON, which kernel every layer uses on every architecture."""
    rows = [
        {
            "layer": step.name,
            "kernel": step.launch.kind,
            "operands": f"{step.launch.operands}{' widened' if step.launch.form == 'kWidened' else ''}",
            "architectures": {
                plan.archs[row].name: {"tile": variant.tile, "parts": variant.parts}
                for variant in step.launch.variants
                for row in variant.rows
            },
        }
        for step in plan.steps
        if isinstance(step.launch, Conv)
    ]
    names = [arch.name for arch in plan.archs]
    units = {MAPS: names} | {one.file: list(one.archs) for one in products(plan)}
    table = {"batch": plan.images, "architectures": names, "units": units, "layers": rows}
    return json.dumps(table, indent=1) + "\n"


def architectures_of(choices: str) -> tuple[Arch, ...]:
    """Return the architectures that the text of ``choices_text`` speaks of."""
    return tuple(ARCHES[name] for name in json.loads(choices)["architectures"])


def units_of(choices: str) -> dict[str, tuple[Arch, ...]]:
    """Return the files of kernels in the text of ``choices_text``, with the architectures to compile each for."""
    units = json.loads(choices)["units"]
    return {file: tuple(ARCHES[name] for name in names) for file, names in units.items()}


def _tensor(plan: Plan, name: str) -> TensorText:
    layout = plan.layouts.of[name]
    ready = {written: i for i, step in enumerate(plan.steps) for written in step.writes}
    outside = {plan.program.input: -1, plan.program.output: -2}
    offset = outside.get(name)
    return TensorText(
        name=escape(name),
        shape=plan.program.tensor(name).shape,
        format=layout.format,
        bits=layout.bits,
        extent=(layout.height, layout.width, layout.channels),
        pixel=layout.pixel,
        channel=layout.channel_bytes,
        lanes=len(layout.lanes),
        offset=plan.arena.offset[plan.layouts.buffer[name]] if offset is None else offset,
        step=ready.get(name, -1),
    )


def _scratch(plan: Plan, launch: Launch | None) -> int:
    if not isinstance(launch, Conv) or not launch.scratch:
        return 0
    return plan.arena.offset[launch.scratch]


def _rendered(name: str, **context: object) -> Source:
    template = f"cuda/{name}.j2"
    return Source(path=name, text=render(template, **context), template=template)


def _read(name: str) -> str:
    return (data_dir("templates") / name).read_text(encoding="utf-8")
