"""Objects of kernels, one a function: compiled once, kept by content, several at a time.

A kernel's name is a digest of what it computes, so its text does not depend on the network around it. An object is
kept in the cache under its text, the helpers it calls, the instruction set and the version of TVM; a changed layer
compiles what changed, and equal layers of other networks are found. Where many are missing they are divided among
processes: TVM reads TVMScript in Python, one thread at a time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from hawqlang.cache import write_atomic
from hawqlang_codegen.tvm.isa import Isa
from hawqlang_codegen.tvm.worker import MARK, compile_one

IMPORTS = "from tvm.script"
"""Before it a file speaks of the network that it was made for."""
_FUNCTION = re.compile(r"^    @T\.prim_func", re.MULTILINE)
_COMMENT = re.compile(r"^ *#.*\n", re.MULTILINE)
SHARE = 12
"""Kernels that are worth a process of their own; two such shares are worth leaving this one, in which TVM looks through
all that is loaded, once a kernel."""
PROCESSES = 4
"""At most; each takes some 300 MB."""
DIGEST = 32
"""Bytes of the checksum in front of a cached object."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One kernel to compile: a module of its own."""

    text: str
    isa: Isa
    path: Path
    """Where the object goes."""

    @property
    def key(self) -> str:
        """Return what the object depends on."""
        parts = (_tvm_version(), repr(self.isa.target), _COMMENT.sub("", self.text))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@functools.cache
def _tvm_version() -> str:
    return version("apache-tvm")


def units(source: Path, isa: Isa, folder: Path) -> list[Unit]:
    """Return the kernels of a generated file, their objects to be written into ``folder``."""
    helpers, mark, kernels = source.read_text(encoding="utf-8").partition(MARK)
    helpers = helpers[helpers.index(IMPORTS) :]
    starts = [match.start() for match in _FUNCTION.finditer(kernels)]
    head = kernels[: starts[0]]
    ends = [*starts[1:], len(kernels)]
    return [
        Unit(
            text=f"{helpers}{mark}{head}{kernels[start:end].rstrip()}\n",
            isa=isa,
            path=folder / f"{source.stem}_{i}.o",
        )
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def compile_units(wanted: Sequence[Unit], cache: Path | None, processes: int | None = None) -> int:
    """Write the object of every unit and return how many had to be compiled.

    Args:
        wanted: What to compile.
        cache: Folder of objects by key; ``None`` keeps nothing.
        processes: How many compile, 0 for this one alone; as many as pay unless given.
    """
    missing = [unit for unit in wanted if not fetch(unit, cache)]
    count = _useful(len(missing)) if processes is None else processes
    if count:
        _compile_apart(missing, count)
    else:
        for unit in missing:
            compile_one(unit.text, unit.isa.target, unit.path)
    for unit in missing:
        keep(unit, cache)
    return len(missing)


def _useful(missing: int) -> int:
    """Return how many processes to start."""
    if missing < 2 * SHARE:
        return 0
    return min(missing // SHARE, PROCESSES, len(os.sched_getaffinity(0)))


def _compile_apart(missing: Sequence[Unit], processes: int) -> None:
    """Compile in processes of their own; the longest texts are dealt out first."""
    order = sorted(missing, key=lambda unit: (-len(unit.text), str(unit.path)))
    running = [_start(order[i::processes]) for i in range(min(processes, len(order)))]
    try:
        for process, job in running:
            _, words = process.communicate(job)
            if process.returncode != 0:
                raise RuntimeError(words)
    finally:
        for process, _ in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def _start(share: Sequence[Unit]) -> tuple[subprocess.Popen[str], str]:
    job = [{"text": u.text, "target": u.isa.target, "path": str(u.path)} for u in share]
    process = subprocess.Popen(
        [sys.executable, "-m", "hawqlang_codegen.tvm.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
    )
    return process, json.dumps(job)


def _import_path() -> Iterator[str]:
    return (str(Path(entry).resolve()) for entry in sys.path if entry)


class Kept(Protocol):
    """A file that depends on its key alone."""

    @property
    def key(self) -> str:
        """Return a digest of all that it depends on."""
        ...

    @property
    def path(self) -> Path:
        """Return where it goes."""
        ...


def fetch(unit: Kept, cache: Path | None) -> bool:
    """Write an object that the cache holds whole, and return whether it does."""
    if cache is None:
        return False
    try:
        data = _place(unit, cache).read_bytes()
    except OSError:
        return False
    digest, body = data[:DIGEST], data[DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        return False
    unit.path.write_bytes(body)
    return True


def keep(unit: Kept, cache: Path | None) -> None:
    """Put an object into the cache; one that cannot be written costs time, never the result."""
    if cache is None:
        return
    body = unit.path.read_bytes()
    with suppress(OSError):
        write_atomic(_place(unit, cache), hashlib.sha256(body).digest() + body)


def _place(unit: Kept, cache: Path) -> Path:
    return cache / unit.key[:2] / f"{unit.key}.o"
