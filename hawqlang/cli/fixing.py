"""Writes the fixes of diagnostics into the files they belong to."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from pathlib import Path

from hawqlang.atomic import rewrite
from hawqlang.diagnostics import Diagnostic, Fix
from hawqlang.diagnostics.apply import apply_fixes


def is_fixable(found: Diagnostic, *, guess: bool) -> bool:
    """Return whether a diagnostic has a fix to apply: a sure one, or with ``guess`` any."""
    return found.fix is not None and (guess or found.fix.sure)


def apply_to_files(
    found: Sequence[Diagnostic], editable: Collection[str], *, guess: bool
) -> tuple[Diagnostic, ...]:
    """Apply fixes to files, each of which is replaced whole or not at all, and return what was fixed.

    Args:
        found: The diagnostics.
        editable: The files that may be changed, by the names that spans give them.
        guess: Whether fixes that are not sure are applied too.

    Raises:
        OSError: A file cannot be read or written.
    """
    wanted: dict[str, dict[Fix, Diagnostic]] = {}
    for one in found:
        fix = one.fix
        if fix is None or not is_fixable(one, guess=guess):
            continue
        files = {span.file for span in fix.spans()}
        if len(files) == 1 and files <= set(editable):
            wanted.setdefault(files.pop(), {}).setdefault(fix, one)
    return tuple(one for name, fixes in wanted.items() for one in _apply_to_file(Path(name), fixes))


def _apply_to_file(path: Path, fixes: dict[Fix, Diagnostic]) -> list[Diagnostic]:
    data = path.read_bytes()
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    try:
        text = data.removeprefix(mark).decode()
    except UnicodeDecodeError:
        return []
    mended, applied = apply_fixes(text, fixes)
    if mended == text:
        return []
    rewrite(path, mark + mended.encode())
    return [fixes[fix] for fix in applied]
