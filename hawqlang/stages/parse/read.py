"""Bytes → text: one megabyte of UTF-8 at most."""

from __future__ import annotations

import codecs
from pathlib import Path

from hawqlang.diagnostics.model import Diagnostic, ToolError
from hawqlang.stages.parse.tokens import Findings, Token

MAX_BYTES = 1 << 20


def read_bytes(path: Path, shown_as: str) -> bytes:
    """Return what a file holds, of a too large one as much as shows that.

    Raises:
        ToolError: The file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ToolError(
            Diagnostic(
                code="HQ100",
                severity="error",
                message=f"cannot open {shown_as}: {error.strerror or error}",
            )
        ) from None


def decode(data: bytes, findings: Findings) -> str | None:
    """Return the text, or ``None`` where it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        findings.error(
            "HQ102",
            "a spec has at most 1 MiB",
            _at("", 1, 1, 0),
            help_="split it and `import` the parts",
        )
        return None
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        start = error.start
    before = data[:start].decode("utf-8")
    findings.error(
        "HQ101",
        f"the byte 0x{data[start]:02X} is not UTF-8",
        _at("\ufffd", before.count("\n") + 1, len(before) - before.rfind("\n"), len(before)),
        help_="save the file as UTF-8"
        + (
            "; it looks like UTF-16"
            if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            else ""
        ),
    )
    return None


def _at(text: str, line: int, column: int, start: int) -> Token:
    return Token("", text, line, column, start, start + len(text))
