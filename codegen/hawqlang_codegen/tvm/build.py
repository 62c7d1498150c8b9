"""Generated text as one shared library: TVM compiles the kernels, the system's C compiler links them.

Each instruction set is one object, since TVM ignores targets of single functions.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hawqlang import runtime
from hawqlang.cache import TensorStore, write_atomic
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.kernels import KernelSet
from hawqlang_codegen.tvm.isa import ISAS, Isa

LIBRARY = "model.so"
LOADER = "hawq_runtime.py"
C_FLAGS = (
    "-std=c11",
    "-O2",
    "-march=x86-64",
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
    "-Wl,-z,defs,-z,relro,-z,now,-z,noexecstack",
)
EXPORTS = "{ global: hawq_*; local: *; };\n"
"""The linker's list: without it every object's ``__tvm_ffi_main`` would show."""


def build(kernels: KernelSet, folder: Path, store: TensorStore) -> None:
    """Write sources, blobs, loader and library into ``folder``.

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
    for isa in ISAS:
        compile_kernels(folder / f"kernels_{isa.name}.py", isa)
    link(compiler, folder)


def c_compiler() -> list[str]:
    """Return the command of the C compiler: ``$CC``, else the first of cc, gcc, clang.

    Raises:
        HawqError: there is none (HQ801).
    """
    chosen = os.environ.get("CC")
    candidates = [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    tried = ", ".join(" ".join(command) for command in candidates)
    raise HawqError(
        Diagnostic(
            code="HQ801",
            severity="error",
            message="no C compiler was found to link the library",
            notes=(f"tried: {tried}",),
            help="install gcc or clang, or name a compiler in the environment variable CC",
        )
    )


def compile_kernels(source: Path, isa: Isa) -> None:
    """Write the object file of one instruction set beside its TVMScript module."""
    import tvm

    target: Any = isa.target
    compiled: Any = tvm.compile(parse_kernels(source), target=target)
    compiled.mod.write_to_file(str(source.with_suffix(".o")), "o")


def parse_kernels(source: Path) -> Any:
    """Return the IRModule that a generated file defines.

    Importing the file gives the same, but TVM then inspects the Python stack once per function, which doubles the time.
    """
    from tvm.script import from_source

    helpers, mark, kernels = source.read_text(encoding="utf-8").partition("@I.ir_module")
    names: dict[str, Any] = {}
    exec(compile(helpers, source, "exec"), names)  # noqa: S102 - our own generated text
    return from_source(mark + kernels, extra_vars=names, s_tir=True)


def link(compiler: list[str], folder: Path) -> None:
    """Compile the run time and link it with the objects into ``model.so``.

    Raises:
        HawqError: the compiler failed (HQ802), with its own words.
    """
    objects = [f"kernels_{isa.name}.o" for isa in ISAS]
    command = [*compiler, *C_FLAGS, *LINK_FLAGS, "-o", LIBRARY, "hawq_runtime.c", *objects, "-ldl"]
    result = subprocess.run(  # noqa: S603 - the command is the compiler's, the names are ours
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise HawqError(
            Diagnostic(
                code="HQ802",
                severity="error",
                message=f"the C compiler failed with exit status {result.returncode}",
                notes=(shlex.join(command), result.stderr.strip()[:4000]),
                help="the compiler must accept C11 for x86-64 and link shared libraries",
            )
        )
