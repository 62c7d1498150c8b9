"""Generated text as one shared library: TVM compiles the kernels, the system's C compiler links them.

Each instruction set is one object, since TVM ignores targets of single functions.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

from hawqlang import runtime
from hawqlang.cache import TensorStore, write_atomic
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.kernels import KernelSet
from hawqlang_codegen import compilers
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.objects import compile_units, units

LIBRARY = "model.so"
LOADER = "hawq_runtime.py"
OBJECTS = "objects"
"""Folder of compiled kernels in the cache."""
C_FLAGS = (
    "-std=c11",
    "-O2",
    "-mgeneral-regs-only",
    "-Wall",
    "-Wextra",
    "-fPIC",
    "-fvisibility=hidden",
)
LINK_FLAGS = (
    "-shared",
    "-Wl,-soname,model.so",
    "-pthread",
    "-Wl,--gc-sections",
    "-Wl,-Bsymbolic",
    "-Wl,--version-script=exports.map",
    *("-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
)
ZIG = ("-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.17")
"""The compiler in the package ``ziglang``, for machines without one; it brings the C library's headers along."""
EXPORTS = "{ global: hawq_*; local: *; };\n"
"""The linker's list: without it every object's ``__tvm_ffi_main`` would show."""


def build(
    kernels: KernelSet, folder: Path, store: TensorStore, objects: Path | None = None
) -> None:
    """Write sources, blobs, loader and library into ``folder``.

    Args:
        kernels: What was generated.
        folder: May exist.
        store: Holds the blobs.
        objects: Folder of compiled kernels by content; that beside the store unless given.

    Raises:
        HawqError: no C compiler (HQ801), or it failed (HQ802).
    """
    compiler = c_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    files = {source.path: source.text.encode() for source in kernels.sources}
    files |= {blob.path: store.get(blob.data).tobytes() for blob in kernels.blobs}
    files |= {"exports.map": EXPORTS.encode(), LOADER: Path(runtime.__file__).read_bytes()}
    for name, data in files.items():
        write_atomic(folder / name, data)
        (folder / name).chmod(0o644)
    compile_kernels(folder, compiler, objects or beside(store, OBJECTS))
    link(compiler, folder)


def beside(store: TensorStore, name: str) -> Path | None:
    """Return a folder of the cache that a store belongs to; ``None`` where it is kept in memory."""
    return None if store.folder is None else store.folder.parent / name


def c_compiler() -> list[str]:
    """Return the command of the C compiler: ``$CC``, else the first of cc, gcc, clang, else the package ziglang's.

    Raises:
        HawqError: there is none (HQ801).
    """
    tried = compilers.candidates("CC", ("cc", "gcc", "clang"))
    found = compilers.first_there(tried)
    if found is not None:
        return found
    chosen = os.environ.get("CC")
    if not chosen and importlib.util.find_spec("ziglang"):
        return [sys.executable, *ZIG]
    raise HawqError(
        Diagnostic(
            code="HQ801",
            severity="error",
            message="no C compiler was found to link the library",
            notes=(
                f"tried: {compilers.shown(tried)}{'' if chosen else ', the Python package ziglang'}",
            ),
            help="install gcc or clang, or `pip install ziglang`, or name a compiler in the environment variable CC",
        )
    )


def baseline(compiler: list[str]) -> str:
    """Return the option that compiles for every x86-64, which nothing but the kernels may exceed."""
    return "-march=x86_64" if ZIG[1] in compiler else "-march=x86-64"


def compile_kernels(folder: Path, compiler: list[str], cache: Path | None = None) -> int:
    """Write the object file of every instruction set beside its source; return how many kernels were compiled.

    Args:
        folder: Holds the generated TVMScript modules.
        compiler: Joins the objects of the kernels.
        cache: Folder of objects that were compiled before; ``None`` keeps nothing.

    Raises:
        HawqError: the C compiler failed (HQ802).
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = {
            isa.name: units(source, isa, Path(scratch)) for source, isa in kernel_files(folder)
        }
        compiled = compile_units([unit for group in found.values() for unit in group], cache)
        for name, group in found.items():
            objects = [str(unit.path) for unit in group]
            call(compiler, ["-r", "-nostdlib", "-o", f"kernels_{name}.o", *objects], folder)
    return compiled


def kernel_files(folder: Path) -> list[tuple[Path, Isa]]:
    """Return the TVMScript modules of a folder with their instruction sets, best first."""
    files = [(folder / f"kernels_{isa.name}.py", isa) for isa in ISAS]
    return [(path, isa) for path, isa in files if path.exists()]


def link(compiler: list[str], folder: Path) -> None:
    """Compile the run time and link it with the objects into ``model.so``.

    Raises:
        HawqError: the compiler failed (HQ802), with its own words.
    """
    objects = [path.with_suffix(".o").name for path, _ in kernel_files(folder)]
    flags = [baseline(compiler), *C_FLAGS, *LINK_FLAGS]
    call(compiler, [*flags, "-o", LIBRARY, "hawq_runtime.c", *objects, "-ldl"], folder)


def call(compiler: list[str], options: list[str], folder: Path) -> None:
    """Run the C compiler in a folder.

    Raises:
        HawqError: it failed (HQ802), with its own words.
    """
    compilers.call(
        [*compiler, *options],
        folder,
        code="HQ802",
        name="the C compiler",
        remedy="the compiler must accept C11 for x86-64 and link shared libraries",
    )
