"""Diagnostics → text with carets.

A source line is shown as a terminal would show it: tabs become four blanks, characters that a
terminal would not print, or would obey, become U+FFFD, wide characters count two columns. Only the
texts passed in are ever quoted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from hawqlang.base import NOWHERE, Span
from hawqlang.diagnostics.model import Diagnostic, Severity

WIDTH = 160
"""Columns of source shown at most; of a longer line the part around what is pointed at."""

_TAB = "    "
_STYLES: Mapping[str, str] = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "note": "\x1b[1;36m",
    "quiet": "\x1b[1;34m",
    "strong": "\x1b[1m",
}


@dataclass(frozen=True, slots=True)
class _Mark:
    """A span to underline, with what to say about it."""

    span: Span
    message: str
    primary: bool


@dataclass(frozen=True, slots=True)
class _Paint:
    """Puts text in colour, or leaves it."""

    color: bool

    def __call__(self, style: str, text: str) -> str:
        return f"{_STYLES[style]}{text}\x1b[0m" if self.color and text else text


def render_text(
    diagnostics: Iterable[Diagnostic],
    sources: Mapping[str, str],
    *,
    color: bool = False,
) -> str:
    """Return diagnostics as text, separated by empty lines.

    Args:
        diagnostics: What to show, in this order.
        sources: Text of every file that may be quoted, by the name that spans give it.
        color: Whether to use the colours of a terminal.
    """
    paint = _Paint(color)
    lines = _Lines(sources)
    return "\n".join(_one(diagnostic, lines, paint) for diagnostic in diagnostics)


class _Lines(dict[str, list[str] | None]):
    """The lines of every file that may be quoted, split when one is first quoted."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        super().__init__()
        self._sources = sources

    def __missing__(self, file: str) -> list[str] | None:
        text = self._sources.get(file)
        self[file] = None if text is None else text.split("\n")
        return self[file]


def printable(text: str) -> str:
    """Return text without characters that a terminal would obey or hide, on one line."""
    return "".join(_shown(c) if c not in "\n\t" else " " for c in text)


def _one(diagnostic: Diagnostic, lines_of: _Lines, paint: _Paint) -> str:
    severity: Severity = diagnostic.severity
    title = f"{severity}[{diagnostic.code}]"
    lines = [paint(severity, title) + paint("strong", f": {printable(diagnostic.message)}")]
    marks = _marks(diagnostic)
    gutter = max((len(str(mark.span.end_line)) for mark in marks), default=1)
    for number, (file, group) in enumerate(_by_file(marks)):
        lines += _excerpt(file, group, lines_of[file], gutter, paint, first=number == 0)
    bar = " " * gutter
    if diagnostic.help is not None:
        lines.append(f"{bar} {paint('quiet', '=')} help: {printable(diagnostic.help)}")
    lines += [f"{bar} {paint('quiet', '=')} note: {printable(note)}" for note in diagnostic.notes]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _marks(diagnostic: Diagnostic) -> list[_Mark]:
    """Return the primary span, if it is somewhere, and the labels."""
    marks = [_Mark(label.span, label.message, primary=False) for label in diagnostic.labels]
    if diagnostic.span is not None:
        marks.insert(0, _Mark(diagnostic.span, diagnostic.label, primary=True))
    return [mark for mark in marks if mark.span != NOWHERE]


def _by_file(marks: Sequence[_Mark]) -> list[tuple[str, list[_Mark]]]:
    """Return the marks by file, files in the order of their first mark."""
    files = list(dict.fromkeys(mark.span.file for mark in marks))
    return [(file, [mark for mark in marks if mark.span.file == file]) for file in files]


def _excerpt(
    file: str,
    marks: list[_Mark],
    texts: list[str] | None,
    gutter: int,
    paint: _Paint,
    *,
    first: bool,
) -> list[str]:
    """Return the lines about one file: where, and the source with its marks."""
    span = marks[0].span
    arrow = paint("quiet", f"{' ' * gutter}{'-->' if first else ':::'}")
    where = printable(file) if span.line == 0 else f"{printable(file)}:{span.line}:{span.column}"
    lines = [f"{arrow} {where}"]
    if texts is None or span.line == 0:
        said = [mark.message for mark in marks if mark.message]
        return lines + [f"{' ' * gutter} {paint('quiet', '=')} {printable(text)}" for text in said]
    lines.append(paint("quiet", f"{' ' * gutter} |"))
    rows = sorted(
        (row for mark in marks for row in _rows(mark, texts)),
        key=lambda row: (row.line, row.start, not row.primary),
    )
    for number, group in groupby(rows, key=lambda row: row.line):
        lines += _source_line(number, texts[number - 1], list(group), gutter, paint)
    return lines


@dataclass(frozen=True, slots=True)
class _Row:
    """The part of a mark on one line: offsets from 0, end exclusive."""

    line: int
    start: int
    end: int
    message: str
    primary: bool


def _rows(mark: _Mark, texts: list[str]) -> list[_Row]:
    """Return what to underline: of a span over several lines its first and its last."""
    span = mark.span
    if not 1 <= span.line <= len(texts):
        return []
    start, last, end = span.column - 1, min(span.end_line, len(texts)), span.end_column - 1
    if end <= 0 and last > span.line:
        last -= 1
        end = len(texts[last - 1].rstrip())
    if last <= span.line:
        return [_Row(span.line, start, end, mark.message, mark.primary)]
    opening, closing = texts[span.line - 1].rstrip(), texts[last - 1]
    indent = min(len(closing) - len(closing.lstrip()), end)
    return [
        _Row(span.line, start, len(opening), "", mark.primary),
        _Row(last, indent, end, mark.message, mark.primary),
    ]


def _source_line(number: int, text: str, rows: list[_Row], gutter: int, paint: _Paint) -> list[str]:
    """Return a line of source and a line for each of its marks."""
    text, rows, cut = _near(text, rows)
    cells = _cells(text)
    left, right = _window(cells, rows)
    head = "…" if left or cut else ""
    body = head + "".join(cells[left:right]) + ("…" if right < len(cells) else "")
    lines = [f"{paint('quiet', f'{number:>{gutter}} |')} {body}"]
    for row in rows:
        start, end = max(row.start, left), max(min(row.end, right), row.start + 1)
        blank = _columns(cells[left : min(start, len(cells))]) + len(head)
        blank += max(0, start - max(len(cells), left))
        width = max(1, _columns(cells[start:end]))
        sign = ("^" if row.primary else "-") * width
        said = f"{sign} {printable(row.message)}".rstrip()
        bar = paint("quiet", f"{' ' * gutter} |")
        lines.append(f"{bar} {' ' * blank}{paint('error' if row.primary else 'quiet', said)}")
    return lines


def _near(text: str, rows: list[_Row]) -> tuple[str, list[_Row], bool]:
    """Return of a very long line the part around its first mark, and whether something stands before it."""
    if len(text) <= 8 * WIDTH:
        return text, rows, False
    main = next((row for row in rows if row.primary), rows[0])
    start = max(0, min(main.start, len(text)) - 2 * WIDTH)
    part = text[start : start + 8 * WIDTH]
    moved = [
        replace(
            row,
            start=min(max(0, row.start - start), len(part)),
            end=min(max(0, row.end - start), len(part)),
        )
        for row in rows
    ]
    return part, moved, start > 0


def _cells(text: str) -> list[str]:
    """Return each character of a line as it is shown."""
    return [_TAB if c == "\t" else _shown(c) for c in text.removesuffix("\r")]


def _shown(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else "\ufffd"
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return "\ufffd"
    return character


def _columns(cells: list[str]) -> int:
    return sum(_width(cell) for cell in cells)


def _width(cell: str) -> int:
    """Return how many columns a shown character takes in a terminal."""
    if cell.isascii():
        return len(cell)
    if unicodedata.combining(cell) or unicodedata.category(cell) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(cell) in "WF" else 1


def _window(cells: list[str], rows: list[_Row]) -> tuple[int, int]:
    """Return which part of a line to show: all of it, or as much as fits around the first mark."""
    if _columns(cells) <= WIDTH:
        return 0, len(cells)
    main = next((row for row in rows if row.primary), rows[0])
    left = max(0, min(main.start - WIDTH // 4, len(cells) - 1))
    right, room = left, WIDTH
    while right < len(cells) and (room := room - _width(cells[right])) >= 0:
        right += 1
    return left, right
