"""One small network, generated and built once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hawqlang.cache import TensorStore
from hawqlang.interpret import logits
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.tvm.build import build
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.plan import plan_program
from tests.semantics.programs import Builder


@dataclass(frozen=True)
class Built:
    """A program, its constants, its library's folder, images and their logits."""

    program: IntegerProgram
    store: TensorStore
    folder: Path
    images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    logits: np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def small_program(seed: int = 3) -> tuple[IntegerProgram, TensorStore]:
    """Every kind of kernel once: pixels, convolution, depthwise, pool, addition, mean, linear."""
    b = Builder(np.random.default_rng(seed))
    x = b.affine(b.image(12, 10, 3), bits=8, signed=True)
    y = b.conv(x, 16, (3, 3), stride=(2, 2), bits=(8, 4))
    z = b.conv(y, 16, (3, 3), groups=16)
    w = b.conv(z, 16, (1, 1), padding=(0, 0, 0, 0), weight_bits=4, addend=y)
    m = b.max_pool(b.add(w, z), (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    mean = b.avg_pool(m, (3, 3))
    return b.program(b.linear(b.flatten(mean), 10, bits=(32,)), "small"), b.store


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    program, store = small_program()
    folder = tmp_path_factory.mktemp("small")
    build(generate(plan_program(program, store), store), folder, store)
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3)).astype(np.uint8)
    return Built(program, store, folder, images, logits(program, store, images).astype(np.int32))
