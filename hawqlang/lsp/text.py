"""Texts as editors see them: positions in UTF-16 (or the agreed unit) against offsets and spans in code points."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from lsprotocol import types as lsp

from hawqlang.base import Span

_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"

Change: TypeAlias = (
    lsp.TextDocumentContentChangePartial | lsp.TextDocumentContentChangeWholeDocument
)
"""What an editor says of an edit."""


@dataclass(frozen=True, slots=False)
class Text:
    """One version of a document. Offsets count code points of ``body``, the text without a byte order mark."""

    source: str
    encoding: lsp.PositionEncodingKind | str = lsp.PositionEncodingKind.Utf16

    @cached_property
    def body(self) -> str:
        """The text that the compiler reads."""
        return self.source.removeprefix(_BOM)

    @cached_property
    def _mark(self) -> int:
        return len(self.source) - len(self.body)

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """Where the editor's lines start in ``source``."""
        return (0, *(match.end() for match in _LINE_END.finditer(self.source)))

    @cached_property
    def _spans(self) -> tuple[int, ...]:
        """Where the compiler's lines start in ``body``: a carriage return alone ends none."""
        return (0, *(match.end() for match in re.finditer("\n", self.body)))

    @property
    def lines(self) -> int:
        """How many lines the editor counts."""
        return len(self._starts)

    def offset(self, position: lsp.Position) -> int:
        """Return the offset of a position; one beyond a line or the text is its end."""
        return max(0, self._source_offset(position) - self._mark)

    def _source_offset(self, position: lsp.Position) -> int:
        if position.line < 0:
            return 0
        if position.line >= self.lines:
            return len(self.source)
        start, line = self._starts[position.line], self._line(position.line)
        wanted = max(0, position.character)
        if line.isascii():
            return start + min(wanted, len(line))
        for n, character in enumerate(line):
            wanted -= self._units(character)
            if wanted < 0:  # also in the middle of a pair of surrogates: in front of its character
                return start + n
        return start + len(line)

    def _line(self, number: int) -> str:
        """Return a line without what ends it."""
        end = self._starts[number + 1] if number + 1 < self.lines else len(self.source)
        line = self.source[self._starts[number] : end]
        if number + 1 < self.lines:
            line = line.removesuffix("\n").removesuffix("\r")
        return line

    def _units(self, characters: str) -> int:
        if self.encoding == lsp.PositionEncodingKind.Utf32 or characters.isascii():
            return len(characters)
        if self.encoding == lsp.PositionEncodingKind.Utf8:
            return len(characters.encode("utf-8", "surrogatepass"))
        return len(characters) + sum(character > "\uffff" for character in characters)

    def position(self, offset: int) -> lsp.Position:
        """Return the position of an offset."""
        at = min(max(0, offset) + self._mark, len(self.source))
        line = bisect_right(self._starts, at) - 1
        start = self._starts[line]
        return lsp.Position(line, self._units(self.source[start:at]))

    def range(self, start: int, end: int) -> lsp.Range:
        """Return the range between two offsets."""
        return lsp.Range(self.position(start), self.position(end))

    def offsets(self, span: Span) -> tuple[int, int]:
        """Return the offsets of a span, moved into the text where it reaches beyond a line."""
        start = self._span_offset(span.line, span.column)
        return start, max(start, self._span_offset(span.end_line, span.end_column))

    def _span_offset(self, line: int, column: int) -> int:
        if line < 1:
            return 0
        if line > len(self._spans):
            return len(self.body)
        start = self._spans[line - 1]
        end = self._spans[line] - 1 if line < len(self._spans) else len(self.body)
        return min(start + max(0, column - 1), end)

    def range_of(self, span: Span) -> lsp.Range:
        """Return the range of a span."""
        return self.range(*self.offsets(span))

    def whole(self) -> lsp.Range:
        """Return the range of everything, a byte order mark included."""
        last = self.lines - 1
        return lsp.Range(lsp.Position(0, 0), lsp.Position(last, self._units(self._line(last))))

    def edited(self, changes: Sequence[Change]) -> Text:
        """Return the text after some edits, each seen from the one before."""
        text = self
        for change in changes:
            if isinstance(change, lsp.TextDocumentContentChangePartial):
                start = text._source_offset(change.range.start)
                end = max(start, text._source_offset(change.range.end))
                source = text.source[:start] + change.text + text.source[end:]
            else:
                source = change.text
            text = Text(source, self.encoding)
        return text
