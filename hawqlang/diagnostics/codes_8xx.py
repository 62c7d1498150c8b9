"""HQ80x: from generated text to a loaded library; the rest of the group comes from ``codes_81x`` to ``codes_88x``."""

from __future__ import annotations

from hawqlang.diagnostics import codes_81x, codes_86x, codes_88x
from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ801",
        title="no C compiler",
        cause="TVM writes object files; joining them with the run time into one shared library takes a C compiler."
        " None of cc, gcc, clang and the Python package ziglang was found, or the one that the environment variable"
        " CC names is not there.",
        example="CC=no-such-compiler hawqc build digits.hawq",
        mended="pip install ziglang && hawqc build digits.hawq      # or: apt-get install gcc libc6-dev",
    ),
    Entry(
        code="HQ802",
        title="the C compiler failed",
        cause="The compiler's own words are in the notes. It has to accept C11 for x86-64, link shared libraries, and"
        " find the C library's headers (package libc6-dev on Debian).",
        example="CC='gcc -m32' hawqc build digits.hawq",
        mended="CC=gcc hawqc build digits.hawq",
    ),
    Entry(
        code="HQ803",
        title="the artifact does not load",
        cause="The library is missing, truncated, for another processor or of another version of the compiler; its"
        " weight file is missing, truncated, damaged or of another model; or the CPU has none of the library's"
        " instruction sets (or not the one that HAWQ_ISA names). The message says which.",
        example="HAWQ_ISA=vnni hawqc verify build/digits      # on a CPU without AVX-512",
        mended="hawqc verify build/digits",
    ),
    Entry(
        code="HQ804",
        title="no C++ compiler",
        cause="CUDA kernels are proven in emulation: a C++ compiler makes a host library of the very sources that nvcc"
        " compiles. None of c++, g++ and clang++ was found, or the one that the environment variable CXX names is not"
        " there.",
        example="CXX=no-such-compiler hawqc build net.hawq      # with `emit cuda`",
        mended="apt-get install g++ && hawqc build net.hawq",
    ),
    Entry(
        code="HQ805",
        title="a compiler of CUDA sources failed",
        cause="The compiler's own words are in the notes. Sources are C++20: g++ 10, clang 12 and nvcc 12.0 are the"
        " oldest that take them, and nvcc has to know every architecture of `emit cuda { arch = … }`.",
        example="CXX='g++ -std=c++98 -pedantic-errors -Werror' hawqc build net.hawq",
        mended="CXX=g++ hawqc build net.hawq",
    ),
    Entry(
        code="HQ806",
        title="the device's library is not built",
        cause="There is no nvcc (`$NVCC`, the PATH, /usr/local/cuda/bin), or it is older than 12.0. The artifact is"
        " complete but for that: kernels, weights, CMakeLists.txt, and the emulation, in which every kernel was"
        " compared with the interpreter. This is a warning.",
        example="NVCC=no-such-compiler hawqc build net.hawq      # with `emit cuda`",
        mended="NVCC=/usr/local/cuda/bin/nvcc hawqc build net.hawq",
    ),
    Entry(
        code="HQ807",
        title="device code cannot be disassembled",
        cause="`verify` looks at every instruction of every kernel where cuobjdump and nvdisasm are at hand. The one"
        " found refuses the library: it is older than the nvcc that built it, or the library is damaged.",
        example="PATH=/usr/local/cuda-11/bin:$PATH hawqc verify build/net",
        mended="PATH=/usr/local/cuda-13/bin:$PATH hawqc verify build/net",
    ),
    Entry(
        code="HQ809",
        title="the library does not run",
        cause="The library was loaded and then refused: the system gave it no thread or no memory, or the input is not"
        " of the type and shape that the message names.",
        example="(ulimit -u 10; HAWQ_THREADS=64 hawqc run build/digits image.npy)",
        mended="HAWQ_THREADS=2 hawqc run build/digits image.npy",
    ),
    *codes_81x.ENTRIES,
    *codes_86x.ENTRIES,
    *codes_88x.ENTRIES,
)
