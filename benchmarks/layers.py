"""Where the time of an artifact goes: every layer's share of the core's measured peak, and what the rest is."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hawqlang.ir.integer import IntegerOp, IntegerProgram
from hawqlang.ops import Conv2d, Linear
from hawqlang.stages.bundle import read_reference
from hawqlang_codegen.tvm.backend import BACKEND
from hawqlang_codegen.tvm.context import Conv, Depthwise
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.plan import Plan, plan_program

PEAK = Path(__file__).resolve().with_name("peak.c")
ROUNDS = 200
"""Inferences, unless they take longer than ``SECONDS``."""
SECONDS = 4.0
PARTS = ("products", "edges", "weights streamed", "epilogue", "first layer", "pools and moves")
"""What time is spent on, as ``layer_rows`` tells it apart."""
NEAR = 512 * 1024
"""Weights up to this many bytes are taken to lie in a cache that is as fast as the products."""


@functools.cache
def peak(*words: str) -> float:
    """Return what ``peak.c`` prints: giga products a second, or gigabytes a second."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        subprocess.run(["cc", "-O2", "-o", program, PEAK], check=True)  # noqa: S603, S607 - the system's compiler
        done = subprocess.run([program, *words], check=True, capture_output=True, text=True)  # noqa: S603 - just built
    return float(done.stdout)


def layer_rows(artifact: Path, library: Path, isa: str) -> list[dict[str, Any]]:
    """Return a row per step: median time, products, share of the peak, and the parts of what is lost.

    Products of padding (channels beyond the last, tiles that overlap) are ``edges``; weights of more bytes than lie
    near are ``weights``, at the measured bandwidth and as far as the products do not hide it; the first layer and
    steps without products are named as such; what remains is ``epilogue``: requantization, stores, loads, calls.
    ``of_peak`` exceeds 1 where a kernel computes fewer products than the layer has (Winograd's transform).
    """
    program, store = read_reference(artifact)
    plan = plan_program(program, store)
    runner = BACKEND.load(library, isa or None)
    used = next(one for one in ISAS if one.name == runner.variant)
    rate = peak(used.name)
    bandwidth = peak("read", str(8 << 20))
    image = np.random.default_rng(0).integers(0, 256, program.tensor(program.input).shape, np.uint8)
    once = sum(runner.profile(image).values()) / 1e9
    rounds = max(10, min(ROUNDS, int(SECONDS / max(once, 1e-9))))
    times = [list(runner.profile(image).values()) for _ in range(rounds)]
    runner.close()
    rows: list[dict[str, Any]] = []
    medians = np.median(np.array(times[rounds // 10 :]), axis=0) / 1e3
    first = next(i for i, op in enumerate(program.ops) if isinstance(op, Conv2d | Linear))
    for i, (op, took) in enumerate(zip(program.ops, medians, strict=True)):
        needed = products(op, program) / rate / 1e3
        lost = _parts(plan, i, used, rate, bandwidth) if needed else {}
        edges = min(lost.get("edges", 0.0), max(took - needed, 0.0))
        streamed = min(max(lost.get("weights", 0.0) - needed, 0.0), max(took - needed - edges, 0.0))
        rest = max(took - needed - edges - streamed, 0.0)
        kind = "pools and moves" if not needed else "first layer" if i == first else "epilogue"
        rows.append(
            {
                "step": op.name,
                "us": float(took),
                "mmac": products(op, program) / 1e6,
                "of_peak": needed / float(took) if took else 0.0,
                "products_us": min(needed, float(took)),
                "edges_us": edges,
                "weights_us": streamed,
                "rest_us": rest,
                "rest_is": kind,
            }
        )
    return rows


def share_row(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the network's time, its share of the peak, and the shares of what the time is spent on."""
    total = sum(row["us"] for row in rows)
    spent = dict.fromkeys(PARTS, 0.0)
    for row in rows:
        spent["products"] += row["products_us"]
        spent["edges"] += row["edges_us"]
        spent["weights streamed"] += row["weights_us"]
        spent[row["rest_is"]] += row["rest_us"]
    needed = sum(row["us"] * row["of_peak"] for row in rows)
    shares = {part: took / total for part, took in spent.items()}
    return {"us": total, "of_peak": needed / total, **shares}


def products(op: IntegerOp, program: IntegerProgram) -> int:
    """Return the multiply-accumulates of an operator."""
    if not isinstance(op, Conv2d | Linear):
        return 0
    shape = program.tensor(op.stores[0].output).shape
    return int(np.prod(op.weight_shape)) * int(np.prod(shape[:-1]))


def _parts(plan: Plan, step: int, isa: Isa, rate: float, bandwidth: float) -> dict[str, float]:
    """Return microseconds of padding's products and of reading the weights."""
    kernels = {kernel.name: kernel.context for kernel in plan.kernels}
    kernel = kernels[plan.steps[step].calls[-1].kernel]
    op = plan.program.ops[step]
    if isinstance(kernel, Depthwise):
        done = (
            kernel.height * kernel.width * kernel.vectors * 16 * kernel.quads * 4 * kernel.kernel[1]
        )
        return {"edges": (done - products(op, plan.program)) / rate / 1e3}
    if not isinstance(kernel, Conv):
        return {}
    tile = (
        kernel.tile
        if isa.wide
        else kernel.narrow_tile
        if isa.products == "dot"
        else kernel.madd_tile
    )
    pixels = -(-kernel.height // tile.rows) * -(-kernel.width // tile.columns) * tile.pixels
    deep = kernel.kernel[0] * kernel.taps * kernel.words * 4
    done = pixels * deep * kernel.vectors * 16
    far = kernel.weight_bytes if kernel.weight_bytes > NEAR else 0
    edges = max(done - products(op, plan.program), 0) / rate / 1e3
    return {"edges": edges, "weights": far / bandwidth / 1e3}
