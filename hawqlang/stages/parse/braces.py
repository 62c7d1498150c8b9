"""Braces that do not match: where one was most likely meant to be, or not to be.

Layout tells: a line that stands no deeper than what it would be inside of is outside of it, and a
line followed by deeper ones opens a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hawqlang.diagnostics.model import Label
from hawqlang.stages.parse.tokens import Findings, Token

ITEM_WORDS = frozenset({"model", "dataset", "target", "quantize", "import", "param"})
STATEMENT_WORDS = ITEM_WORDS | {"minimize", "maximize", "subject", "layer", "emit"}

_WITHOUT_BLOCK = frozenset({"hawq", "import", "param", "minimize", "maximize"})
"""First words of statements that never have a block."""


def starts_statement(tokens: list[Token], at: int) -> bool:
    """Return whether the tokens from ``at`` on look like the start of a statement."""
    if tokens[at].kind != "NAME" or at + 1 == len(tokens):
        return False
    follower = tokens[at + 1].kind
    return follower in {"EQUAL", "COLON", "LBRACE"} or (
        tokens[at].text in STATEMENT_WORDS and follower in {"NAME", "STRING", "DOTTED"}
    )


@dataclass(slots=True)
class Open:
    """An open bracket: its token, its index, and the column its line starts at."""

    token: Token
    index: int
    indent: int


def indents(tokens: list[Token]) -> list[int]:
    """Return for every token the column of the first token of its line."""
    columns: list[int] = []
    indent, fresh = 1, True
    for token in tokens:
        indent = token.column if fresh else indent
        columns.append(indent)
        fresh = token.kind == "_NL"
    return columns


def count(tokens: Iterable[Token]) -> tuple[int, int]:
    """Return how many ``{`` are never closed and how many ``}`` close nothing."""
    depth = extra = 0
    for token in tokens:
        if token.kind == "LBRACE":
            depth += 1
        elif token.kind == "RBRACE" and depth:
            depth -= 1
        elif token.kind == "RBRACE":
            extra += 1
    return depth, extra


@dataclass(slots=True)
class Braces:
    """Puts in missing ``}`` and takes out those that close nothing, guided by the layout."""

    tokens: list[Token]
    findings: Findings
    missing: int
    extra: int
    open: list[Open] = field(default_factory=list[Open])

    def run(self) -> Iterator[Token]:
        """Yield the tokens with all braces matched."""
        columns = indents(self.tokens)
        for index, token in enumerate(self.tokens):
            if self._leads(index):
                yield from self._line(index, token)
            if token.kind == "LBRACE":
                if self._doubled(index, token):
                    continue
                self.open.append(Open(token, index, columns[index]))
            elif token.kind == "RBRACE" and not self._closes(index, columns[index], token):
                continue
            elif token.kind == "_NL" and self.extra and self._heads(index, columns):
                yield self._opener(index, columns[index])
            yield token
        end = self.tokens[-1].behind()
        while self.open:
            yield self._missing(end, "the file ends here", "\n}")

    def _leads(self, index: int) -> bool:
        """Return whether a token is the first of its line."""
        return index == 0 or self.tokens[index - 1].kind == "_NL"

    def _line(self, index: int, token: Token) -> Iterator[Token]:
        """Close the blocks that a line stands outside of."""
        while self.missing and self.open and self._outside(index, token):
            yield self._missing(
                token, "this line stands outside of it", "}\n" + " " * (token.column - 1)
            )
            if token.kind != "RBRACE":
                yield token.virtual("_NL")

    def _outside(self, index: int, token: Token) -> bool:
        indent = self.open[-1].indent
        if token.kind == "RBRACE":
            return token.column < indent and any(o.indent == token.column for o in self.open)
        return token.column <= indent and starts_statement(self.tokens, index)

    def _missing(self, at: Token, where: str, text: str) -> Token:
        opened = self.open.pop()
        self.missing -= 1
        closer = at.virtual("RBRACE")
        self.findings.error(
            "HQ121",
            "this `{` is never closed",
            opened.token,
            labels=(Label(span=self.findings.span(closer), message=where),),
            help_="add the `}`",
            replacement=text,
            replaces=self.findings.span(closer),
            guess=True,
            repaired=True,
        )
        return closer

    def _doubled(self, index: int, token: Token) -> bool:
        """Return whether a ``{`` directly follows another and is not closed; then it is reported."""
        before = self.tokens[index - 1]
        if not (self.missing and before.kind == "LBRACE" and before.line == token.line):
            return False
        self.missing -= 1
        self.findings.error(
            "HQ125",
            "this `{` opens nothing",
            token,
            help_="delete it",
            replacement="",
            repaired=True,
        )
        return True

    def _heads(self, index: int, columns: list[int]) -> bool:
        """Return whether the line that ends at ``index`` looks like the head of a block without its ``{``."""
        start = index
        while start and self.tokens[start - 1].kind != "_NL":
            start -= 1
        line = self.tokens[start:index]
        after = index + 1
        while after < len(self.tokens) and self.tokens[after].kind == "_NL":
            after += 1
        if not line or after == len(self.tokens) or self.tokens[after].kind == "RBRACE":
            return False
        depth, plain = 0, line[0].kind == "NAME" and line[0].text not in _WITHOUT_BLOCK
        for token in line:
            depth += (token.kind in {"LPAR", "LSQB"}) - (token.kind in {"RPAR", "RSQB"})
            plain = plain and token.kind not in {"LBRACE", "RBRACE"}
            plain = plain and not (depth == 0 and token.kind in {"EQUAL", "COLON"})
        return plain and columns[after] > columns[start]

    def _opener(self, index: int, indent: int) -> Token:
        """Return the ``{`` that a head lacks."""
        at = self.tokens[index - 1].behind()
        opener = at.virtual("LBRACE")
        self.extra -= 1
        self.open.append(Open(opener, index, indent))
        self.findings.error(
            "HQ125",
            "a `{` is missing here",
            at,
            help_="the lines below stand deeper, as in a block",
            replacement=" {",
            guess=True,
            repaired=True,
        )
        return opener

    def _closes(self, index: int, indent: int, token: Token) -> bool:
        """Return whether a ``}`` closes a block; a surplus one lines up with no opener."""
        if self.open and not (self.extra and self._surplus(index, indent, token)):
            self.open.pop()
            return True
        self.extra -= 1
        title = "this `}` closes nothing"
        self.findings.error(
            "HQ122", title, token, help_="delete it", replacement="", guess=True, repaired=True
        )
        return False

    def _surplus(self, index: int, indent: int, token: Token) -> bool:
        """Return whether a ``}`` stands where it closes nothing: askew, or behind another on its line."""
        leads = self._leads(index) or self.tokens[index - 1].kind == "RBRACE"
        opened = self.open[-1]
        return leads and indent != opened.indent and opened.token.line != token.line
