"""Threads and batches: however the work is dealt out, every bit stays."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hawqlang.backend.registry import BACKENDS
from hawqlang.backend.render import render
from hawqlang.interpret import interpret
from hawqlang.runtime import BUSY, Model, RuntimeFailure, supported
from hawqlang_codegen.tvm.build import c_compiler, link
from hawqlang_codegen.tvm.generate import LARGEST_BATCH, table_context
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.stages import stages, weight_bytes
from tests.semantics.programs import Builder
from tests.support.allocation import target
from tests.unit.codegen.tvm.conftest import Built

THREADS = (1, 2, 3, 7, 40)


def relinked(built: Built, folder: Path, threads: int, batch: int) -> Path:
    """The library again, for a target with that many threads and images."""
    shutil.copytree(built.folder, folder / "copy")
    table = table_context(plan_program(built.program, built.store), threads, batch)
    text = render("tvm/model_table.h.j2", t=table)
    (folder / "copy" / "model_table.h").write_text(text, encoding="utf-8")
    link(c_compiler(), folder / "copy")
    return folder / "copy"


@pytest.mark.parametrize("threads", THREADS)
def test_every_stored_tensor_is_the_interpreters_on_any_number_of_threads(
    built: Built, threads: int
) -> None:
    expected = interpret(built.program, built.store, built.images, keep="all")
    for isa in supported(built.folder):
        with Model(built.folder, isa=isa, threads=threads) as model:
            assert model.threads == threads
            for i, image in enumerate(built.images):
                for name, values in model.trace(image).items():
                    np.testing.assert_array_equal(values, expected[name][i], f"{isa} {name}")


@pytest.mark.parametrize("threads", THREADS)
def test_batches_of_every_size_give_the_same_logits(
    built: Built, tmp_path: Path, threads: int
) -> None:
    folder = relinked(built, tmp_path, threads=1, batch=3)
    images, logits = built.images.repeat(3, axis=0), built.logits.repeat(3, axis=0)
    with Model(folder, threads=threads) as model:
        for count in range(len(images) + 1):
            np.testing.assert_array_equal(model.run(images[:count]), logits[:count])


def test_the_target_says_how_many_threads_the_environment_and_the_caller_say_otherwise(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAWQ_THREADS", raising=False)
    folder = relinked(built, tmp_path, threads=2, batch=1)
    with Model(folder) as model:
        assert model.threads == 2
        np.testing.assert_array_equal(model.run(built.images), built.logits)
    monkeypatch.setenv("HAWQ_THREADS", "3")
    with Model(folder) as model:
        assert model.threads == 3
    with Model(folder, threads=1) as model:
        assert model.threads == 1
    monkeypatch.setenv("HAWQ_THREADS", "")
    with Model(folder) as model:
        assert model.threads == 2


@pytest.mark.parametrize("text", ["0", "-1", "257", "two", "2x", "99999999999999999999"])
def test_a_number_of_threads_that_is_none_is_refused(
    built: Built, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HAWQ_THREADS", text)
    with pytest.raises(RuntimeFailure, match="not from 1 to 256"):
        Model(built.folder)


@pytest.mark.parametrize("threads", [-1, 257, 2**31, -(2**40)])
def test_the_caller_too_may_ask_for_1_to_256_threads_only(built: Built, threads: int) -> None:
    with pytest.raises(RuntimeFailure, match="threads"):
        Model(built.folder, threads=threads)


def tasks() -> int:
    """The threads of this process."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_threads_start_with_the_first_run_and_end_with_the_model(built: Built) -> None:
    before = tasks()
    model = Model(built.folder, threads=5)
    assert tasks() == before
    model.run(built.images[:1])
    assert tasks() == before + 4
    model.close()
    assert tasks() == before


def test_idle_threads_sleep(built: Built) -> None:
    with Model(built.folder, threads=4) as model:
        model.run(built.images[:1])
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.4)
        assert time.process_time() - before < 0.2


def run_script(built: Built, folder: Path, script: str) -> str:
    """What a process beside the library says on its error stream; it must succeed."""
    for name in ("model.so", "weights.bin", "hawq_runtime.py"):
        shutil.copy(built.folder / name, folder)
    np.save(folder / "images.npy", built.images)
    np.save(folder / "logits.npy", built.logits)
    command = [sys.executable, "-W", "ignore", "-c", script]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stderr


FORKED = """
import os, sys, threading
import numpy as np
from hawq_runtime import Model

images, logits = np.load("images.npy"), np.load("logits.npy")

def right(model):
    return np.array_equal(model.run(images[:1]), logits[:1]) and np.array_equal(model.run(images), logits)

def in_child(model):
    pid = os.fork()
    if pid == 0:
        ok = right(model) and right(model)
        model.close()
        os._exit(0 if ok else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

unused, used, busy = (Model(".", threads=3) for _ in range(3))
assert right(used)
assert in_child(unused) and in_child(used)
assert right(used) and right(unused)

many, stop = images.repeat(50, axis=0), threading.Event()
def keep_busy():
    while not stop.is_set():
        busy.run(many)
thread = threading.Thread(target=keep_busy)
thread.start()
results = [in_child(busy) for _ in range(10)]
stop.set()
thread.join()
assert all(results), results
"""


def test_a_forked_child_has_threads_of_its_own_even_when_its_parent_was_running(
    built: Built, tmp_path: Path
) -> None:
    run_script(built, tmp_path, FORKED)


STARVED = """
import resource
import numpy as np
from hawq_runtime import Model, RuntimeFailure

images, logits = np.load("images.npy"), np.load("logits.npy")
model = Model(".", threads=200)
used = int(open("/proc/self/statm").read().split()[0]) * 4096
limit = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), limit[1]))
for _ in range(2):
    try:
        model.run(images)
    except RuntimeFailure as error:
        assert error.code == -6 and "200 threads cannot be started" in str(error), error
    else:
        raise SystemExit("200 threads started in 8 MiB")
resource.setrlimit(resource.RLIMIT_AS, limit)
assert np.array_equal(model.run(images), logits)
"""


def test_threads_that_do_not_start_are_an_error_and_the_model_stays_usable(
    built: Built, tmp_path: Path
) -> None:
    run_script(built, tmp_path, STARVED)


def test_a_model_left_open_does_not_trouble_the_interpreters_end(
    built: Built, tmp_path: Path
) -> None:
    script = (
        "from hawq_runtime import Model\nmodel = Model('.', threads=3)\nmodel.run(bytes(360))\n"
    )
    assert run_script(built, tmp_path, script) == ""


def test_contexts_with_threads_run_beside_each_other_and_one_context_once_at_a_time(
    built: Built,
) -> None:
    images, logits = built.images.repeat(20, axis=0), built.logits.repeat(20, axis=0)
    with Model(built.folder, threads=2) as shared:

        def own(_: int) -> bool:
            with Model(built.folder, threads=2) as model:
                return bool(np.array_equal(model.run(images), logits))

        def together(_: int) -> bool:
            try:
                return bool(np.array_equal(shared.run(images), logits))
            except RuntimeFailure as error:
                return error.code == BUSY

        with ThreadPoolExecutor(4) as pool:
            assert all([*pool.map(own, range(8)), *pool.map(together, range(20))])
        np.testing.assert_array_equal(shared.run(built.images), built.logits)


def test_the_back_end_generates_for_the_target(built: Built) -> None:
    asked = target(batch=500).replace(threads=4)
    kernels = BACKENDS["tvm"]().generate(built.program, asked, built.store)
    (table,) = (source.text for source in kernels.sources if source.path == "model_table.h")
    assert "#define HAWQ_THREADS 4 " in table
    assert f"#define HAWQ_BATCH {LARGEST_BATCH}u " in table


def test_a_step_with_more_weights_than_tensors_opens_a_stage() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.affine(b.image(16, 16, 3)), 32)
    y = b.conv(b.max_pool(x, (4, 4), stride=(4, 4), padding=(0, 0, 0, 0)), 512)
    z = b.conv(y, 16, (1, 1), padding=(0, 0, 0, 0))
    program = b.program(b.linear(b.flatten(b.avg_pool(z, (4, 4))), 10, bits=(32,)))
    plan = plan_program(program, b.store)
    heavy = next(i for i, op in enumerate(program.ops) if op.name == program.ops[3].name)
    assert weight_bytes(plan)[heavy] == 9 * 32 * 512
    assert stages(plan) == (0, heavy, len(plan.steps))
