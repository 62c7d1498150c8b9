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
)
