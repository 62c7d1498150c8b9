"""HQ9xx: verification."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ901",
        title="the built library could not be verified",
        cause="Every build ends with a comparison of the library with the interpreter, a search for floating-point"
        " instructions and a check of every bound. A library that fails is not written. This is never the spec's"
        " fault: please report it.",
        example="",
        mended="",
    ),
    Entry(
        code="HQ902",
        title="a CUDA kernel failed",
        cause="On a device the CUDA run time reported an error. In emulation a kernel did what it must not: it touched"
        " memory that its step was not given, read shared memory before it was written or without a barrier, or its"
        " threads parted where all have to meet. The message names step, block and thread. This is never the spec's"
        " fault: please report it.",
        example="",
        mended="",
    ),
)
