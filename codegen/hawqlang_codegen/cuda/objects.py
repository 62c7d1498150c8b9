"""Objects of device code, one a file of kernels: compiled once for the architectures that use it, kept by content.

A file of kernels names no network, so that its object is found again by every network with a layer of its kind. Its
PTX for the newest architecture is kept beside it: what a driver compiles on newer devices, and what can be looked at
without a disassembler.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hawqlang_codegen.cuda.arch import Arch
from hawqlang_codegen.tvm.objects import fetch, keep

FLAGS = ("-std=c++20", "-O3", "-Xcompiler", "-fPIC,-fvisibility=hidden")
LONGEST_FIRST = "product_"
"""Products take several times as long as anything else."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A file that depends on ``key`` alone."""

    key: str
    path: Path


@dataclass(frozen=True, slots=True)
class Unit:
    """A source to compile for some architectures."""

    source: Path
    archs: tuple[Arch, ...]
    compiler: str
    """Name and release: what it makes depends on it."""
    object: Path
    ptx: Path | None = None
    """Where the PTX of the newest architecture goes."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the options that choose architectures: machine code and PTX of each.

        PTX of every one, since machine code serves one major version: a device between two of them takes the older's.
        """
        numbers = [arch.number for arch in self.archs]
        return tuple(f"-gencode=arch=compute_{n},code=[sm_{n},compute_{n}]" for n in numbers)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Return what compiling makes."""
        h = hashlib.sha256("\0".join((self.compiler, *FLAGS, *self.flags)).encode())
        for path in (self.source, *sorted(self.source.parent.glob("*.cuh"))):
            h.update(path.name.encode() + path.read_bytes())
        made = [Piece(h.hexdigest(), self.object)]
        if self.ptx is not None:
            made.append(Piece(f"{h.hexdigest()}-ptx", self.ptx))
        return tuple(made)


def compile_units(
    units: Sequence[Unit], call: Callable[[Sequence[str]], None], cache: Path | None
) -> int:
    """Write the object and the PTX of every unit; return how many had to be compiled.

    Args:
        units: What to compile.
        call: Runs nvcc with options; raises where it fails.
        cache: Folder of what was compiled before; ``None`` keeps nothing.
    """
    missing = [u for u in units if not all(fetch(piece, cache) for piece in u.pieces)]
    missing.sort(key=lambda u: not u.source.name.startswith(LONGEST_FIRST))
    workers = max(1, min(len(missing), len(os.sched_getaffinity(0))))
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(partial(_compile, call=call), missing):
            pass
    for unit in missing:
        for piece in unit.pieces:
            keep(piece, cache)
    return len(missing)


def _compile(unit: Unit, call: Callable[[Sequence[str]], None]) -> None:
    folder = unit.object.parent / unit.source.stem
    folder.mkdir()
    kept = ("--keep", "--keep-dir", str(folder))
    call([*FLAGS, *unit.flags, *kept, "-c", str(unit.source), "-o", str(unit.object)])
    if unit.ptx is not None:
        found = sorted(folder.glob("*.ptx"))
        newest = [path for path in found if f"compute_{unit.archs[-1].number}" in path.name]
        unit.ptx.write_bytes((newest or found)[-1].read_bytes())
