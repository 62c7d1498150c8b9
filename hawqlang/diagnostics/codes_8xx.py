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
