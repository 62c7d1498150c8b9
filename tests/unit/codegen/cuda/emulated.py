"""A program as an emulated CUDA library, and its comparison with the interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hawqlang.cache import TensorStore
from hawqlang.interpret import interpret
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.build import EMULATED, emulate
from hawqlang_codegen.cuda.generate import generate
from hawqlang_codegen.cuda.plan import Plan, plan_program
from hawqlang_codegen.cuda.run import CudaRunner, variants

KINDS = ("sm_75", "sm_80", "sm_90")
"""One architecture of every kind: pieces of products, products of nibbles, neither."""


def write(
    program: IntegerProgram,
    store: TensorStore,
    folder: Path,
    *,
    archs: tuple[str, ...] = KINDS,
    images: int = 2,
) -> Plan:
    """Write the sources and weights of a program; compile nothing."""
    plan = plan_program(program, store, tuple(ARCHES[name] for name in archs), images)
    kernels = generate(plan, store)
    (folder / EMULATED).mkdir(parents=True, exist_ok=True)
    for source in kernels.sources:
        (folder / source.path).write_text(source.text, encoding="utf-8")
    for blob in kernels.blobs:
        (folder / blob.path).write_bytes(store.get(blob.data).tobytes())
    return plan


def pictures(
    program: IntegerProgram, count: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return random inputs, the second of extremes, the third of 255."""
    rng = np.random.default_rng(0)
    shape = program.tensor(program.input).shape
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    images[1] = rng.choice(np.array([0, 255], dtype=np.uint8), shape)
    images[2] = 255
    return images


def assert_exact(
    program: IntegerProgram,
    store: TensorStore,
    folder: Path,
    *,
    count: int = 3,
    optimize: str = "-O0",
) -> None:
    """Compare every stored tensor of every variant with the interpreter's, then logits of ``count`` images."""
    emulate(folder, optimize)
    images = pictures(program, count)
    expected = interpret(program, store, images, keep="all")
    found = variants(folder)
    assert found
    for variant in found:
        runner = CudaRunner(folder, variant)
        traced = runner.trace(images[1])
        for name, values in expected.items():
            np.testing.assert_array_equal(traced[name], values[1], f"{variant} {name}")
        np.testing.assert_array_equal(runner.run(images), expected[program.output], variant)
        runner.close()


def script(folder: Path, text: str) -> Path:
    """An executable that stands in for a compiler."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
