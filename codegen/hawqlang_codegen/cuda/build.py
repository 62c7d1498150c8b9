"""Generated text as two libraries with one interface: the emulation by a C++ compiler, the device's by nvcc.

The emulation is always built, since it proves the kernels. Without nvcc the folder holds complete sources, and the
diagnostics say what to install.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType

from hawqlang import cuda_memory, cuda_runtime, runtime
from hawqlang.cache import TensorStore, write_atomic
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.kernels import KernelSet
from hawqlang_codegen import compilers
from hawqlang_codegen.cuda.generate import CHOICES, MODEL, architectures_of, units_of
from hawqlang_codegen.cuda.objects import Unit, compile_units
from hawqlang_codegen.tvm.build import beside

LIBRARY = runtime.LIBRARY
OBJECTS = "cuda-objects"
"""Folder of compiled kernels in the cache."""
EMULATED = "emulated"
"""Folder of the emulation's library."""
PTX = "ptx"
"""Folder of the kernels' PTX for the newest architecture."""
LOADERS = {
    "hawq_runtime.py": runtime,
    "hawq_cuda.py": cuda_runtime,
    "hawq_cuda_memory.py": cuda_memory,
}
OLDEST_NVCC = (12, 0)
CXX_FLAGS = ("-std=c++20", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unknown-pragmas")
LINK_FLAGS = ("-shared", "-cudart", "static", "-Xlinker", "-s")
"""Symbols, which name temporary files, are stripped: equal sources give equal bytes."""
TOOLKIT = Path("/usr/local/cuda/bin/nvcc")


def build(kernels: KernelSet, folder: Path, store: TensorStore) -> tuple[Diagnostic, ...]:
    """Write sources, blobs, loader and libraries into ``folder``; return what could not be built, as warnings.

    Raises:
        HawqError: no C++ compiler (HQ804), or a compiler failed (HQ805).
    """
    (folder / EMULATED).mkdir(parents=True, exist_ok=True)
    files = {source.path: source.text.encode() for source in kernels.sources}
    files |= {blob.path: store.get(blob.data).tobytes() for blob in kernels.blobs}
    files |= loaders()
    for name, data in files.items():
        write_atomic(folder / name, data)
        (folder / name).chmod(0o644)
    emulate(folder)
    return compile_device(folder, beside(store, OBJECTS))


def loaders() -> dict[str, bytes]:
    """Return the loaders for host and device memory as they lie beside a library: without the compiler's package."""
    names = {f"hawqlang.{module.__name__.split('.')[-1]}": file for file, module in LOADERS.items()}

    def beside(module: ModuleType) -> bytes:
        text = Path(module.__file__ or "").read_text(encoding="utf-8")
        for name, file in names.items():
            text = text.replace(f"from {name} import", f"from {file.removesuffix('.py')} import")
        return text.encode()

    return {file: beside(module) for file, module in LOADERS.items()}


def emulate(folder: Path, optimize: str = "-O2") -> None:
    """Compile the emulation.

    Raises:
        HawqError: no C++ compiler (HQ804), or it failed (HQ805).
    """
    output = f"{EMULATED}/{LIBRARY}"
    _run([*cxx_compiler(), *CXX_FLAGS, optimize, "-x", "c++", MODEL, "-o", output, "-ldl"], folder)


def compile_device(folder: Path, cache: Path | None = None) -> tuple[Diagnostic, ...]:
    """Compile the device's library and its PTX where there is an nvcc that can; else return why not.

    Args:
        folder: Holds the sources.
        cache: Folder of objects that were compiled before; ``None`` keeps nothing.

    Raises:
        HawqError: nvcc failed (HQ805).
    """
    nvcc = find_nvcc()
    if nvcc is None:
        return (_no_nvcc("nvcc was not found"),)
    release = nvcc_release(nvcc)
    if release is None or release < OLDEST_NVCC:
        shown = "unknown" if release is None else ".".join(map(str, release))
        return (_no_nvcc(f"{nvcc} is too old or unreadable (release {shown})"),)
    choices = (folder / CHOICES).read_text("utf-8")
    named = f"nvcc {release[0]}.{release[1]}"
    (folder / PTX).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        units = [
            Unit(
                (folder / file).resolve(),
                archs,
                named,
                place / Path(file).with_suffix(".o"),
                (folder / PTX / file).with_suffix(".ptx").resolve(),
            )
            for file, archs in units_of(choices).items()
        ]
        compile_units(units, lambda options: _run([nvcc, *options], place), cache)
        whole = Unit(
            (folder / MODEL).resolve(), architectures_of(choices), named, place / "model.o"
        )
        compile_units([whole], lambda options: _run([nvcc, *options], place), None)
        objects = [unit.object.name for unit in (*units, whole)]
        _run([nvcc, *LINK_FLAGS, *objects, "-o", str((folder / LIBRARY).resolve())], place)
    return ()


def cxx_compiler() -> list[str]:
    """Return the command of the C++ compiler: ``$CXX``, else the first of c++, g++, clang++.

    Raises:
        HawqError: there is none (HQ804).
    """
    tried = compilers.candidates("CXX", ("c++", "g++", "clang++"))
    found = compilers.first_there(tried)
    if found is not None:
        return found
    raise HawqError(
        Diagnostic(
            code="HQ804",
            severity="error",
            message="no C++ compiler was found to build the emulation of the CUDA kernels",
            notes=(f"tried: {compilers.shown(tried)}",),
            help="install g++ or clang++, or name a compiler in the environment variable CXX",
        )
    )


def find_nvcc() -> str | None:
    """Return the path of nvcc: ``$NVCC``, else on the PATH, else in the toolkit's usual place."""
    named = os.environ.get("NVCC")
    if named is not None:
        return shutil.which(named)
    return shutil.which("nvcc") or (str(TOOLKIT) if TOOLKIT.is_file() else None)


def nvcc_release(nvcc: str) -> tuple[int, int] | None:
    """Return the release of nvcc, ``None`` where it does not say."""
    try:
        result = subprocess.run(  # noqa: S603 - the command is the compiler's
            [nvcc, "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    found = re.search(r"release (\d+)\.(\d+)", result.stdout)
    return None if found is None else (int(found[1]), int(found[2]))


def _no_nvcc(why: str) -> Diagnostic:
    oldest = ".".join(map(str, OLDEST_NVCC))
    return Diagnostic(
        code="HQ806",
        severity="warning",
        message=f"the device's library is not built: {why}",
        notes=("the kernels were verified in emulation, and the sources are complete",),
        help=f"install the CUDA toolkit {oldest} or newer and build again, or run cmake in the folder there",
    )


def _run(command: list[str], folder: Path) -> None:
    compilers.call(
        command,
        folder,
        code="HQ805",
        name=Path(command[0]).name,
        remedy="it must accept C++20 and link shared libraries; nvcc must know every architecture asked for",
    )
