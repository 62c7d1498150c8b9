"""The same kernels on a device: compiled by nvcc, compared with the interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.interpret import interpret, logits
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.build import EMULATED, compile_device, find_nvcc
from hawqlang_codegen.cuda.run import CudaRunner, variants
from tests.semantics.families import FAMILIES, Case, network
from tests.unit.codegen.cuda.emulated import pictures, write
from tests.unit.codegen.cuda.test_kernels import products

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_nvcc() is None, reason="needs nvcc"),
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="needs a CUDA device"),
]


def device_runner(case: Case, folder: Path) -> CudaRunner:
    """Compile for every architecture and open the library on the device."""
    write(*case, folder, archs=tuple(ARCHES))
    assert compile_device(folder) == ()
    (folder / EMULATED).rmdir()
    assert variants(folder)
    return CudaRunner(folder, None)


@pytest.mark.parametrize("family", [*sorted(FAMILIES), "network", "products"])
def test_the_device_equals_the_interpreter(family: str, tmp_path: Path) -> None:
    make = {"network": network, "products": products}.get(family) or FAMILIES[family]
    program, store = make(7)
    runner = device_runner((program, store), tmp_path)
    assert not runner.slow
    images = pictures(program, 3)
    expected = interpret(program, store, images, keep="all")
    for i, image in enumerate(images):
        for name, values in runner.trace(image).items():
            np.testing.assert_array_equal(values, expected[name][i], f"{runner.variant} {name}")
    np.testing.assert_array_equal(runner.run(images), expected[program.output])
    runner.close()


def test_a_run_is_the_same_a_thousand_times(tmp_path: Path) -> None:
    program, store = products(5)
    runner = device_runner((program, store), tmp_path)
    images = pictures(program, 3)
    expected = logits(program, store, images)
    for _ in range(1000):
        np.testing.assert_array_equal(runner.run(images), expected)
    runner.close()
