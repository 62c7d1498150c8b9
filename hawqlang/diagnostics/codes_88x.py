"""HQ88x: commands that take many specs, or change them."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ880",
        title="the folder holds no spec",
        cause="A folder stands for all files below it that end in `.hawq`, hidden folders and linked ones left out."
        " There is none, so the path is probably not the one that was meant.",
        example="hawqc fmt hawqlang",
        mended="hawqc fmt specs",
    ),
    Entry(
        code="HQ881",
        title="standard input stands alone",
        cause="`-` reads one spec from standard input and writes to standard output, which cannot be shared with"
        " other files.",
        example="hawqc fmt - spec.hawq < other.hawq",
        mended="hawqc fmt - < other.hawq > new.hawq\nhawqc fmt spec.hawq",
    ),
)
