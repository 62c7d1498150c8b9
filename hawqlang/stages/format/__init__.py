"""Text → the same text in the one layout that specs have.

Formatting moves white space and the comma behind a last element, and nothing else: tokens,
literals and comments stay as they were written, so a formatted spec resolves to what it did before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hawqlang.diagnostics.model import Diagnostic
from hawqlang.stages.format.breaking import plain
from hawqlang.stages.format.entries import entries
from hawqlang.stages.format.layout import layout
from hawqlang.stages.format.roles import roles
from hawqlang.stages.parse import lexemes, parse_text
from hawqlang.stages.parse.read import decode
from hawqlang.stages.parse.tokens import Findings, Token

__all__ = ["FormatDefectError", "Formatted", "format_bytes", "format_text"]


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text in its one layout, or why it has none."""

    text: str | None
    """``None`` where the text has syntax errors."""
    diagnostics: tuple[Diagnostic, ...]
    """The syntax errors."""


class FormatDefectError(Exception):
    """The layout would say something else than the text: a defect of this package."""


def format_bytes(data: bytes, file: str) -> Formatted:
    """Return what ``format_text`` does for what a file holds; what is not UTF-8 gets no layout."""
    findings = Findings(file)
    text = decode(data, findings)
    return Formatted(None, findings.sorted()) if text is None else format_text(text, file)


def format_text(text: str, file: str) -> Formatted:
    """Return a text in the one layout; a text with syntax errors gets none.

    Lines end as the first one does. A byte order mark is dropped.

    Args:
        text: What the file holds.
        file: The path to show to the reader.

    Raises:
        FormatDefectError: The result would not say what the text says.
    """
    tree, diagnostics = parse_text(text, file)
    errors = tuple(d for d in diagnostics if d.severity == "error")
    if errors:
        return Formatted(None, errors)
    tokens, comments = lexemes(tree.text)
    formatted = layout(entries(tokens, comments), roles(tree))
    if _said(*lexemes(formatted)) != _said(tokens, comments):
        raise FormatDefectError(f"the layout of {file} would change what it says")
    return Formatted(formatted.replace("\n", _newline(tree.text)), ())


def _newline(text: str) -> str:
    """Return what the first line ends with."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _said(tokens: Sequence[Token], comments: Iterable[Token]) -> list[str]:
    """Return what a text says beside its layout."""
    solid = [token for token in tokens if token.kind != "_NL"]
    kept = [token.text for token in plain(solid)]
    return kept + [comment.text.rstrip() for comment in comments]
