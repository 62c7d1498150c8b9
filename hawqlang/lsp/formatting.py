"""Formatting: the layout of `hawqc fmt`."""

from __future__ import annotations

from lsprotocol import types as lsp

from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.format import format_text


def formatted(snapshot: Snapshot) -> list[lsp.TextEdit]:
    """Return the edit that lays a spec out; none where it has syntax errors or needs none."""
    text = snapshot.text
    found = format_text(text.body, snapshot.shown).text
    if found is None or found == text.source:
        return []
    return [lsp.TextEdit(text.whole(), found)]
