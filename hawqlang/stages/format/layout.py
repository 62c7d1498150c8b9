"""Entries → text: indents, columns and empty lines.

Settings, constraints and params in consecutive lines stand in columns, as in a data sheet, and so
do the comments behind consecutive lines. A line of comment does not interrupt the columns of the
statements around it; an empty line, a block and a statement of several rows do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hawqlang.stages.format.breaking import STEP, WIDTH, flat, kept_rows, plain, rows
from hawqlang.stages.format.entries import Block, Comment, Entry, Statement
from hawqlang.stages.format.roles import Roles
from hawqlang.stages.parse.tokens import Token


@dataclass(slots=True)
class Line:
    """A line of the result."""

    indent: int
    cells: tuple[str, ...]
    """What stands in columns; none of an empty line or a line of comment only."""
    kind: str = ""
    """Lines of one kind form columns; empty for those that do not."""
    comment: str = ""
    spaced: bool = False
    """Whether an empty line stands before it."""

    @property
    def code(self) -> str:
        """The line without its comment."""
        return " ".join(self.cells)


def layout(found: Sequence[Entry], roles: Roles) -> str:
    """Return the text of a file's entries."""
    lines = _Lines(roles).of(_apart(found), 0)
    for run in _runs(lines):
        _align(run)
    return "".join(_printed(lines))


def _apart(found: Sequence[Entry]) -> Sequence[Entry]:
    """Set the header and blocks of several lines apart from what stands around them."""
    first = 0  # of the comments right above
    for at, entry in enumerate(found):
        if isinstance(entry, Comment):
            first = at if entry.spaced else first
            continue
        first = at if entry.spaced else first
        header = entry.tokens[0].text == "hawq" and entry.block is None
        if header or (entry.block is not None and not entry.block.one_line):
            found[first].spaced = found[first].spaced or (first > 0 and not header)
            if at + 1 < len(found):
                found[at + 1].spaced = True
        first = at + 1
    return found


@dataclass(frozen=True, slots=True)
class _Lines:
    """Makes the lines of entries."""

    roles: Roles

    def of(self, found: Iterable[Entry], indent: int) -> list[Line]:
        lines: list[Line] = []
        for entry in found:
            if isinstance(entry, Comment):
                said = entry.token.text.rstrip()
                lines.append(Line(indent, (), comment=said, spaced=entry.spaced))
                continue
            made = self._statement(entry, indent)
            made[0].spaced = entry.spaced
            if entry.trailing is not None:
                made[-1].comment = entry.trailing.text.rstrip()
            lines += made
        return lines

    def _statement(self, statement: Statement, indent: int) -> list[Line]:
        head = self._head(statement, indent)
        block = statement.block
        if block is None:
            return head
        text = self._on_one_line(statement, indent)
        if text is not None:
            return [Line(indent, (text,))]
        if not block.entries and block.opening is None:
            head[-1].cells = (f"{head[-1].code} {{ }}",)
            return head
        opening = "" if block.opening is None else block.opening.text.rstrip()
        head[-1].cells, head[-1].comment = (f"{head[-1].code} {{",), opening
        return [*head, *self.of(block.entries, indent + STEP), Line(indent, ("}",))]

    def _head(self, statement: Statement, indent: int) -> list[Line]:
        """Return the lines of what stands before a block, or of a statement without one."""
        broken = statement.tokens[0].line < statement.tokens[-1].line
        if statement.inner or (broken and statement.bound):
            kept = kept_rows(statement.tokens, statement.inner, self.roles, indent)
            return [
                Line(at, (row,) if row else (), comment=comment, spaced=spaced)
                for at, row, comment, spaced in kept
            ]
        tokens = plain(statement.tokens)
        kind, cells = _cells(tokens, self.roles) if statement.block is None else ("", ())
        if kind and (statement.bound or indent + len(" ".join(cells)) <= WIDTH):
            return [Line(indent, cells, kind)]
        if statement.bound:
            return [Line(indent, (flat(tokens, self.roles),))]
        return [Line(at, (row,)) for at, row in rows(tokens, self.roles, indent)]

    def _on_one_line(self, statement: Statement, indent: int) -> str | None:
        """Return a statement with its block on one line, where it was written so and still fits."""
        text = self._inline(statement)
        if text is None:
            return None
        return text if statement.bound or indent + len(text) <= WIDTH else None

    def _inline(self, statement: Statement) -> str | None:
        text = flat(plain(statement.tokens), self.roles)
        block: Block | None = statement.block
        if block is None:
            return text
        if not block.one_line or len(block.entries) > 1:
            return None
        inner = [self._inline(e) for e in block.entries if isinstance(e, Statement)]
        if None in inner:
            return None
        return " ".join(filter(None, (f"{text} {{", *inner, "}")))


def _cells(tokens: Sequence[Token], roles: Roles) -> tuple[str, tuple[str, ...]]:
    """Return what kind of columns a statement belongs to, and its cells."""
    kinds = [token.kind for token in tokens[:5]]
    if kinds[:2] == ["NAME", "EQUAL"]:
        return "=", (tokens[0].text, flat(tokens[1:], roles))
    if kinds[:2] == ["NAME", "COLON"]:
        return ":", (f"{tokens[0].text}:", flat(tokens[2:], roles))
    if tokens[0].text == "param" and kinds[1:4] == ["NAME", "COLON", "NAME"]:
        default = (flat(tokens[4:], roles),) if len(tokens) > 4 else ()
        return "param", (flat(tokens[:3], roles), tokens[3].text, *default)
    return "", ()


# ---- columns -------------------------------------------------------------------------------------


def _runs(lines: Iterable[Line]) -> list[list[Line]]:
    """Return the lines that form columns together."""
    runs: list[list[Line]] = [[]]
    for line in lines:
        last = runs[-1][-1:]
        other = any((one.kind, one.indent) != (line.kind, line.indent) for one in last)
        if line.spaced or (line.cells and (other or not line.kind)):
            runs.append(list[Line]())
        if line.kind:
            runs[-1].append(line)
    return runs


def _align(run: Sequence[Line]) -> None:
    """Widen every cell but the last of its line to its column."""
    columns = max((len(line.cells) for line in run), default=0)
    for column in range(columns - 1):
        wide = [line for line in run if len(line.cells) > column + 1]
        width = max(len(line.cells[column]) for line in wide)
        for line in wide:
            cells = list(line.cells)
            cells[column] = cells[column].ljust(width)
            line.cells = tuple(cells)


def _printed(lines: Sequence[Line]) -> Iterable[str]:
    """Yield the lines, the comments behind consecutive ones in a column."""
    numbered = list(zip(_stretches(lines), lines, strict=True))
    for _, group in groupby(numbered, key=lambda pair: pair[0]):
        stretch = [line for _, line in group]
        commented = [line for line in stretch if line.cells and line.comment]
        column = max((line.indent + len(line.code) for line in commented), default=0) + 2
        for line in stretch:
            yield "\n" if line.spaced else ""
            text = " " * line.indent + line.code
            yield (
                f"{text:<{column}}{line.comment}\n"
                if line in commented
                else (f"{text}{line.comment}".rstrip() + "\n")
            )


def _stretches(lines: Iterable[Line]) -> Iterable[int]:
    """Yield for every line the number of the stretch of commented lines it belongs to."""
    stretch, within = 0, False
    for line in lines:
        commented = bool(line.cells and line.comment)
        if not (within and commented and not line.spaced):
            stretch += 1
        within = commented
        yield stretch
