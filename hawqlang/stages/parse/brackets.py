"""Which bracket closes which, and which newlines end a statement.

An unclosed bracket is reported at its opener, before parsing, and closed where it was most likely meant to be; then
one forgotten bracket is one error. Layout tells where: a line that stands no deeper than what it would be inside of
is outside of it. Layout is only asked when the brackets do not match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hawqlang.diagnostics.model import Label
from hawqlang.stages.parse.tokens import Findings, Token

MAX_NESTING = 64

CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
OPENER = {closer: opener for opener, closer in CLOSER.items()}
SIGN = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}

ITEM_WORDS = frozenset({"model", "dataset", "target", "quantize", "import", "param"})
STATEMENT_WORDS = ITEM_WORDS | {"minimize", "maximize", "subject", "layer", "emit"}


def balance(tokens: list[Token], findings: Findings) -> list[Token]:
    """Return the tokens with all brackets matched and only those newlines that end a statement."""
    tokens = list(_hanging(tokens, findings))
    return list(_newlines(_braces(_round(tokens, findings), findings)))


@dataclass(slots=True)
class _Open:
    """An open bracket: its token, its index, and the column its line starts at."""

    token: Token
    index: int
    indent: int


def _first_in_line(tokens: list[Token]) -> list[int]:
    """Return for every token the column of the first token of its line."""
    columns: list[int] = []
    indent, fresh = 1, True
    for token in tokens:
        if fresh:
            indent = token.column
        columns.append(indent)
        fresh = token.kind == "_NL"
    return columns


def starts_statement(tokens: list[Token], at: int) -> bool:
    """Return whether the tokens from ``at`` on look like the start of a statement."""
    if tokens[at].kind != "NAME" or at + 1 == len(tokens):
        return False
    follower = tokens[at + 1].kind
    return follower in {"EQUAL", "COLON", "LBRACE"} or (
        tokens[at].text in STATEMENT_WORDS and follower in {"NAME", "STRING", "DOTTED"}
    )


def _hanging(tokens: list[Token], findings: Findings) -> Iterator[Token]:
    """Put a ``{`` that starts a line on the line of what it opens."""
    for index, token in enumerate(tokens):
        if token.kind == "_NL" and _hangs(tokens, index):
            continue
        if (
            token.kind == "LBRACE"
            and index
            and tokens[index - 1].kind == "_NL"
            and _hangs(tokens, index - 1)
        ):
            findings.error(
                "HQ123",
                "an opening brace stands on the line of what it opens",
                token,
                help_="move it to the end of the line above",
                repaired=True,
            )
        yield token


def _hangs(tokens: list[Token], newline: int) -> bool:
    """Return whether newlines from ``newline`` on lead to a ``{`` that what stands before them lacks."""
    after = before = newline
    while after < len(tokens) and tokens[after].kind == "_NL":
        after += 1
    while before >= 0 and tokens[before].kind == "_NL":
        before -= 1
    return (
        after < len(tokens)
        and tokens[after].kind == "LBRACE"
        and before >= 0
        and tokens[before].kind in {"NAME", "DOTTED", "STRING", "RPAR"}
    )


# ---- ( ) and [ ] -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Round:
    """Matches ``( )`` and ``[ ]``, which a brace or the end of the file ends at the latest."""

    tokens: list[Token]
    findings: Findings
    open: list[_Open] = field(default_factory=list[_Open])
    insertions: dict[int, list[Token]] = field(default_factory=dict[int, list[Token]])
    """Virtual closers, by the index of the token they go before."""
    replaced: dict[int, Token | None] = field(default_factory=dict[int, "Token | None"])

    def run(self) -> list[Token]:
        indents = _first_in_line(self.tokens)
        braces = 0
        for index, token in enumerate(self.tokens):
            match token.kind:
                case "LPAR" | "LSQB":
                    self.open.append(_Open(token, index, indents[index]))
                    self._limit(token, braces)
                case "RPAR" | "RSQB":
                    self._close(index, token)
                case "LBRACE" | "RBRACE":
                    self._barrier(index)
                    braces = max(0, braces + (1 if token.kind == "LBRACE" else -1))
                    if token.kind == "LBRACE":
                        self._limit(token, braces)
                case _:
                    pass
        self._barrier(len(self.tokens))
        return list(self._mended())

    def _limit(self, token: Token, braces: int) -> None:
        if len(self.open) + braces == MAX_NESTING + 1:
            self.findings.error(
                "HQ108",
                f"brackets are nested deeper than {MAX_NESTING}",
                token,
                label="this one is too deep",
            )

    def _close(self, index: int, token: Token) -> None:
        wanted = OPENER[token.kind]
        if not self.open:
            self.findings.error(
                "HQ122", f"this `{token.text}` closes nothing", token, help_="delete it"
            )
            self.replaced[index] = None
            return
        if all(opened.token.kind != wanted for opened in self.open):
            opened = self.open.pop()
            closer = CLOSER[opened.token.kind]
            self.findings.error(
                "HQ122",
                f"`{opened.token.text}` is closed by `{token.text}`",
                token,
                labels=(Label(span=self.findings.span(opened.token), message="opened here"),),
                replacement=SIGN[closer],
                help_=f"write `{SIGN[closer]}`",
                repaired=True,
            )
            self.replaced[index] = token._replace(kind=closer, text=SIGN[closer])
            return
        unclosed: list[_Open] = []
        while (opened := self.open.pop()).token.kind != wanted:
            unclosed.append(opened)
        self._unclosed(unclosed[::-1], index)

    def _barrier(self, index: int) -> None:
        """Close what is open before a brace or the end: each at the line that starts the next statement."""
        while self.open:
            cut = self._cut(self.open[0], index)
            here = [opened for opened in self.open if opened.index < cut]
            self.open = [opened for opened in self.open if opened.index >= cut]
            self._unclosed(here, cut)

    def _cut(self, opened: _Open, limit: int) -> int:
        """Return the index of the newline before the next statement, or of what ends the block."""
        for index in range(opened.index + 1, limit - 1):
            if (
                self.tokens[index].kind == "_NL"
                and self.tokens[index + 1].column <= opened.indent
                and starts_statement(self.tokens, index + 1)
            ):
                return index
        while limit > opened.index + 1 and self.tokens[limit - 1].kind == "_NL":
            limit -= 1
        return limit

    def _unclosed(self, opened: list[_Open], before: int) -> None:
        if not opened:
            return
        *outer, inner = opened
        self.findings.error(
            "HQ120",
            f"this `{inner.token.text}` is never closed",
            inner.token,
            labels=tuple(
                Label(span=self.findings.span(o.token), message=f"nor is this `{o.token.text}`")
                for o in outer
            ),
            help_=f"add the `{SIGN[CLOSER[inner.token.kind]]}`",
        )
        at = self.tokens[before - 1]
        closers = [
            Token(CLOSER[o.token.kind], "", at.line, at.end_column, at.end, at.end)
            for o in reversed(opened)
        ]
        self.insertions.setdefault(before, []).extend(closers)

    def _mended(self) -> Iterator[Token]:
        for index, token in enumerate(self.tokens):
            yield from self.insertions.get(index, ())
            kept = self.replaced.get(index, token)
            if kept is not None:
                yield kept
        yield from self.insertions.get(len(self.tokens), ())


def _round(tokens: list[Token], findings: Findings) -> list[Token]:
    return _Round(tokens, findings).run()


# ---- { } ---------------------------------------------------------------------------------------------------------------


def _braces(tokens: list[Token], findings: Findings) -> list[Token]:
    missing, extra = _count(tokens)
    if missing or extra:
        tokens = list(_Braces(tokens, findings, missing, extra).run())
    return tokens


def _count(tokens: Iterable[Token]) -> tuple[int, int]:
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
class _Braces:
    """Puts in the missing ``}`` and takes out those that close nothing, guided by the layout of the lines."""

    tokens: list[Token]
    findings: Findings
    missing: int
    extra: int
    open: list[_Open] = field(default_factory=list[_Open])

    def run(self) -> Iterator[Token]:
        indents = _first_in_line(self.tokens)
        for index, token in enumerate(self.tokens):
            if index == 0 or self.tokens[index - 1].kind == "_NL":
                yield from self._line(index, token)
            if token.kind == "LBRACE":
                self.open.append(_Open(token, index, indents[index]))
            elif token.kind == "RBRACE" and not self._closes(index, token):
                continue
            yield token
        while self.open:
            yield self._missing(self.tokens[-1], at_end=True)

    def _line(self, index: int, token: Token) -> Iterator[Token]:
        """Close the blocks that a line stands outside of."""
        while self.missing and self.open and self._outside(index, token):
            yield self._missing(token)
            if token.kind != "RBRACE":
                yield token.virtual("_NL")

    def _outside(self, index: int, token: Token) -> bool:
        opened = self.open[-1]
        if token.kind in {"_NL", "LBRACE"}:
            return False
        if token.kind == "RBRACE":
            return token.column < opened.indent and any(o.indent == token.column for o in self.open)
        if token.column > opened.indent:
            return False
        return starts_statement(self.tokens, index)

    def _missing(self, token: Token, *, at_end: bool = False) -> Token:
        opened = self.open.pop()
        self.missing -= 1
        at = token._replace(column=token.end_column, start=token.end) if at_end else token
        place = self.findings.span(at.virtual("RBRACE"))
        where = "the file ends here" if at_end else "this line stands outside of it"
        self.findings.error(
            "HQ121",
            "this `{` is never closed",
            opened.token,
            labels=(Label(span=place, message=where),),
            help_="add the `}`",
            repaired=True,
        )
        return at.virtual("RBRACE")

    def _closes(self, index: int, token: Token) -> bool:
        """Return whether a ``}`` closes a block; one that stands where none of its opener is taken for the surplus."""
        alone = index == 0 or self.tokens[index - 1].kind == "_NL"
        surplus = self.extra and alone and bool(self.open) and token.column != self.open[-1].indent
        if self.open and not surplus:
            self.open.pop()
            return True
        self.extra -= 1
        self.findings.error(
            "HQ122", "this `}` closes nothing", token, help_="delete it", repaired=True
        )
        return False


# ---- newlines ----------------------------------------------------------------------------------------------------------


def _newlines(tokens: Iterable[Token]) -> Iterator[Token]:
    """Drop newlines inside ``( )`` and ``[ ]``, at the start, after ``{`` and after another newline."""
    depth: Counter[str] = Counter()
    last = "_NL"
    for token in tokens:
        if token.kind in {"LPAR", "LSQB"}:
            depth["open"] += 1
        elif token.kind in {"RPAR", "RSQB"}:
            depth["open"] -= 1
        elif token.kind == "_NL" and (depth["open"] > 0 or last in {"_NL", "LBRACE"}):
            continue
        last = token.kind
        yield token
