"""Which bracket closes which, and which newlines end a statement.

An unclosed bracket is reported at its opener, before parsing, and closed where it was most likely
meant to be; then one forgotten bracket is one error. Layout tells where: a line that stands no
deeper than what it would be inside of is outside of it. It is only asked where brackets do not
match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hawqlang.diagnostics.model import Label
from hawqlang.stages.parse.braces import Braces, Open, count, indents, starts_statement
from hawqlang.stages.parse.tokens import Findings, Token

MAX_NESTING = 64
MAX_LABELS = 3
"""Further unclosed brackets that are pointed at beside the innermost."""

CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
OPENER = {closer: opener for opener, closer in CLOSER.items()}
SIGN = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}

_OPENED = frozenset({"NAME", "DOTTED", "STRING", "RPAR"})
"""What can stand before the ``{`` of a block."""


def balance(tokens: list[Token], findings: Findings) -> list[Token]:
    """Return the tokens with all brackets matched and only those newlines that end a statement."""
    tokens = list(_hanging(tokens, findings))
    tokens = list(_Round(tokens, findings).run())
    missing, extra = count(tokens)
    if missing or extra:
        tokens = list(Braces(tokens, findings, missing, extra).run())
    return list(_newlines(tokens))


def shallow(tokens: list[Token], findings: Findings) -> bool:
    """Return whether brackets nest no deeper than allowed; the first that does is reported."""
    depth = 0
    for token in tokens:
        depth += (token.kind in CLOSER) - (token.kind in OPENER)
        if depth > MAX_NESTING:
            title = f"brackets are nested deeper than {MAX_NESTING}"
            findings.error("HQ108", title, token, label="this one is too deep")
            return False
    return True


def _hanging(tokens: list[Token], findings: Findings) -> Iterator[Token]:
    """Put a ``{`` that starts a line on the line of what it opens."""
    newlines: list[Token] = []
    before: Token | None = None
    for token in tokens:
        if token.kind == "_NL":
            newlines.append(token)
            continue
        if newlines and token.kind == "LBRACE" and before is not None and before.kind in _OPENED:
            findings.error(
                "HQ123",
                "an opening brace stands on the line of what it opens",
                token,
                help_="move it to the end of the line above",
                replacement=None if _apart(before, newlines) else " {",
                replaces=findings.span(before).replace(
                    column=before.end_column, end_line=token.line, end_column=token.end_column
                ),
                repaired=True,
            )
            newlines.clear()
        yield from newlines
        newlines.clear()
        yield token
        before = token
    yield from newlines


def _apart(before: Token, newlines: Iterable[Token]) -> bool:
    """Return whether something, a comment, stands between a token and the last of some newlines."""
    at = before.end
    for newline in newlines:
        if newline.start != at:
            return True
        at = newline.end
    return False


def _newlines(tokens: Iterable[Token]) -> Iterator[Token]:
    """Drop newlines inside ``( )`` and ``[ ]``, at the start, after ``{`` and after another."""
    depth = 0
    last = "_NL"
    for token in tokens:
        if token.kind in {"LPAR", "LSQB"}:
            depth += 1
        elif token.kind in {"RPAR", "RSQB"}:
            depth -= 1
        elif token.kind == "_NL" and (depth > 0 or last in {"_NL", "LBRACE"}):
            continue
        last = token.kind
        yield token


# ---- ( ) and [ ] ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Round:
    """Matches ``( )`` and ``[ ]``, which a brace or the end of the file ends at the latest."""

    tokens: list[Token]
    findings: Findings
    open: list[Open] = field(default_factory=list[Open])
    kinds: Counter[str] = field(default_factory=Counter[str])
    """How many of each kind are open."""
    insertions: dict[int, list[Token]] = field(default_factory=dict[int, list[Token]])
    """Virtual closers, by the index of the token they go before."""
    replaced: dict[int, Token | None] = field(default_factory=dict[int, "Token | None"])

    def run(self) -> Iterator[Token]:
        columns = indents(self.tokens)
        for index, token in enumerate(self.tokens):
            if token.kind in {"LPAR", "LSQB"}:
                self.open.append(Open(token, index, columns[index]))
                self.kinds[token.kind] += 1
            elif token.kind in {"RPAR", "RSQB"}:
                self._close(index, token)
            elif token.kind in {"LBRACE", "RBRACE"}:
                self._barrier(index)
        self._barrier(len(self.tokens))
        for index, token in enumerate(self.tokens):
            yield from self.insertions.get(index, ())
            kept = self.replaced.get(index, token)
            if kept is not None:
                yield kept
        yield from self.insertions.get(len(self.tokens), ())

    def _pop(self) -> Open:
        opened = self.open.pop()
        self.kinds[opened.token.kind] -= 1
        return opened

    def _close(self, index: int, token: Token) -> None:
        wanted = OPENER[token.kind]
        if not self.open:
            title = f"this `{token.text}` closes nothing"
            self.findings.error(
                "HQ122", title, token, help_="delete it", replacement="", guess=True
            )
            self.replaced[index] = None
        elif not self.kinds[wanted] and self._closed_later(index):
            title = f"this `{token.text}` closes nothing"
            help_ = f"delete it, or add the `{SIGN[wanted]}`"
            self.findings.error("HQ122", title, token, help_=help_)
            self.replaced[index] = None
        elif not self.kinds[wanted]:
            self._mismatched(index, token, self._pop().token)
        else:
            unclosed: list[Open] = []
            while (opened := self._pop()).token.kind != wanted:
                unclosed.append(opened)
            self._unclosed(unclosed[::-1], index)

    def _closed_later(self, index: int) -> bool:
        """Return whether the innermost open bracket is closed behind a token, before any brace."""
        kind, depth = self.open[-1].token.kind, 0
        for token in self.tokens[index + 1 :]:
            if token.kind in {"LBRACE", "RBRACE"}:
                return False
            depth += token.kind in CLOSER
            depth -= token.kind in OPENER
            if depth < 0:
                return token.kind == CLOSER[kind]
        return False

    def _mismatched(self, index: int, token: Token, opened: Token) -> None:
        closer = CLOSER[opened.kind]
        self.findings.error(
            "HQ122",
            f"`{opened.text}` is closed by `{token.text}`",
            token,
            labels=(Label(span=self.findings.span(opened), message="opened here"),),
            replacement=SIGN[closer],
            help_=f"write `{SIGN[closer]}`",
            guess=True,
            repaired=True,
        )
        self.replaced[index] = token._replace(kind=closer, text=SIGN[closer])

    def _barrier(self, index: int) -> None:
        """Close what is open before a brace or the end, each before the next statement."""
        opened, self.open = self.open, []
        self.kinds.clear()
        start = 0
        while start < len(opened):
            cut = self._cut(opened[start], index)
            end = start
            while end < len(opened) and opened[end].index < cut:
                end += 1
            self._unclosed(opened[start:end], cut)
            start = end

    def _cut(self, opened: Open, limit: int) -> int:
        """Return the index of the newline before the next statement, or of the block's end."""
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

    def _unclosed(self, opened: list[Open], before: int) -> None:
        """Report the innermost of some open brackets and close all of them."""
        if not opened:
            return
        *outer, inner = opened
        at = self.tokens[before - 1].behind()
        self.findings.error(
            "HQ120",
            f"this `{inner.token.text}` is never closed",
            inner.token,
            labels=tuple(
                Label(span=self.findings.span(o.token), message=f"nor is this `{o.token.text}`")
                for o in outer[-MAX_LABELS:]
            ),
            help_=f"add the `{SIGN[CLOSER[inner.token.kind]]}`",
            replacement="".join(SIGN[CLOSER[o.token.kind]] for o in reversed(opened)),
            replaces=self.findings.span(at),
            guess=True,
        )
        closers = [at.virtual(CLOSER[o.token.kind]) for o in reversed(opened)]
        self.insertions.setdefault(before, []).extend(closers)
