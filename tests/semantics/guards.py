"""Guard pages: every tensor, the weights, the image and the logits end or begin at a page that nobody may touch."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hawqlang.backend.render import render
from hawqlang_codegen.tvm.arena import Arena
from hawqlang_codegen.tvm.build import c_compiler, link
from hawqlang_codegen.tvm.generate import table_context
from hawqlang_codegen.tvm.layout import round_up
from hawqlang_codegen.tvm.plan import Plan

PAGE = 4096
THREADS = (1, 3)
SCRIPT = """
import ctypes, mmap, sys
import numpy as np
from hawq_runtime import Model

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

def forbid(address):
    assert libc.mprotect(address, 4096, 0) == 0, ctypes.get_errno()

kept = []

def confined(size, at_end):
    pages = mmap.mmap(-1, (size // 4096 + 3) * 4096)
    kept.append(pages)
    whole = np.frombuffer(pages, dtype=np.uint8)
    end = whole.size - 4096
    forbid(whole.ctypes.data)
    forbid(whole.ctypes.data + end)
    return whole[end - size : end] if at_end else whole[4096 : 4096 + size]

isa, threads, at_end = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "end"
model = Model(".", isa=isa, threads=threads)
arena, blob = ctypes.cast(model._handle, ctypes.POINTER(ctypes.c_uint64))[:2]
for guard in map(int, sys.argv[4].split(",")):
    forbid(arena + guard)
packed = np.fromfile("weights.bin", dtype=np.uint8)
weights = confined(packed.size, at_end)
weights[:] = packed
ctypes.cast(model._handle, ctypes.POINTER(ctypes.c_uint64))[1] = weights.ctypes.data
image = confined(int(np.prod(model.input_shape)), at_end)
image[:] = np.random.default_rng(0).integers(0, 256, image.shape)
logits = confined(4 * int(np.prod(model.output_shape)), at_end)
assert model._library.hawq_model_run(model._handle, image.ctypes.data, logits.ctypes.data, 1) == 0
ctypes.cast(model._handle, ctypes.POINTER(ctypes.c_uint64))[1] = blob
"""
"""One run on one instruction set and number of threads."""


def guarded(plan: Plan, *, at_end: bool, short: int = 0) -> tuple[Plan, list[int]]:
    """The plan with every buffer on pages of its own, against the guard behind it or before it.

    ``short`` bytes are missing from every buffer, which a run must not survive.
    """
    offset: dict[str, int] = {}
    guards = [0]
    top = PAGE
    for name in plan.arena.offset:
        size = plan.layouts.of[name].size - short
        room = round_up(size, PAGE)
        offset[name] = top + (room - size if at_end else 0)
        guards.append(top + room)
        top += room + PAGE
    return replace(plan, arena=Arena(offset=offset, size=top, lower_bound=top)), guards


def statuses(
    plan: Plan, folder: Path, variants: tuple[str, ...], *, at_end: bool, short: int = 0
) -> set[int]:
    """Relink the library in ``folder`` with guard pages and run it; the exit statuses seen."""
    protected, guards = guarded(plan, at_end=at_end, short=short)
    table = render("tvm/model_table.h.j2", t=table_context(protected))
    (folder / "model_table.h").write_text(table, encoding="utf-8")
    link(c_compiler(), folder)
    side = "end" if at_end else "start"
    return {
        _status(folder, [variant, str(threads), side, ",".join(map(str, guards))])
        for variant in variants
        for threads in THREADS
    }


def _status(folder: Path, arguments: list[str]) -> int:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode in (0, -signal.SIGSEGV), result.stderr
    return result.returncode
