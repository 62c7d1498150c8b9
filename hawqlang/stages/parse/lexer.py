"""Text → tokens, by one regular expression made of the grammar's terminals.

Words stay ``NAME``: the parser knows which of them are keywords where. A lexeme that is none is reported and replaced
by what was most likely meant, so that one slip gives one error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from hawqlang.stages.parse import characters, literals
from hawqlang.stages.parse.tables import Terminal
from hawqlang.stages.parse.tokens import Findings, Token

_QUOTED = re.compile(r"'[^'\n\r]{0,999}'|[“”„][^“”\"\n\r]{0,999}[“”\"]|‘[^’\n\r]{0,999}’")
_CLOSED = re.compile(r'"(?:[^"\\\n\r]|\\[^\n\r])*"')
_OPEN = re.compile(r'"[^\r\n#]*')
_LINE = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"\w[\w\u0300-\u036f]*")
_RADIX = re.compile(r"[xXbBoO][0-9A-Fa-f_]*")
_FRACTION = re.compile(r"[.0-9_]*(?:[eE][+-]?[0-9]+)?")
_OTHER = re.compile("[^\\w\\s\"'#{}()\\[\\],:=+*/<>%-]+")


def scanner(terminals: Iterable[Terminal]) -> re.Pattern[str]:
    """Return the expression that matches one lexeme; its group is the terminal. Keywords match as names."""
    groups = [
        f"(?P<{t.name}>{re.escape(t.pattern) if t.literal else t.pattern})"
        for t in terminals
        if not (t.literal and t.pattern.isidentifier()) and t.name != "RATE"
    ]
    return re.compile("|".join(groups))


class Lexer:
    """Reads one text. ``tokens`` has no blanks and no comments; those are in ``comments``."""

    def __init__(self, text: str, terminals: Iterable[Terminal], findings: Findings) -> None:
        terminals = tuple(terminals)
        self.text = text
        self.findings = findings
        self.tokens: list[Token] = []
        self.comments: list[Token] = []
        self._scan = scanner(terminals).match
        self._rate = next(re.compile(t.pattern).match for t in terminals if t.name == "RATE")
        self._line = 1
        self._line_start = 0
        self._checks: dict[str, Callable[[Token], Token]] = {
            "NUMBER": self._number,
            "STRING": self._string,
            "NAME": self._name,
            "DOTTED": self._name,
        }

    def run(self) -> None:
        """Fill ``tokens`` and ``comments``."""
        at = 0
        while at < len(self.text):
            match = self._scan(self.text, at)
            if match is None:
                at = self._stray(at)
                continue
            kind, end = match.lastgroup or "", match.end()
            if self.text[at : at + 2] in {"//", "/*"}:
                at = self._foreign_comment(at)
                continue
            if self.text[at : at + 2] in characters.PAIRS:
                at = self._written(at, self.text[at : at + 2], characters.PAIRS)
                continue
            if kind in {"NAME", "DOTTED"}:
                kind, end = self._rate_or(kind, at, end)
            if kind != "BLANK":
                self._put(self.token(kind, at, end))
            at = end

    def _put(self, token: Token) -> None:
        if token.kind == "COMMENT":
            self._comment(token)
        else:
            check = self._checks.get(token.kind)
            self.tokens.append(token if check is None else check(token))
        if token.kind == "_NL":
            self._line += 1
            self._line_start = token.end

    def token(self, kind: str, at: int, end: int) -> Token:
        return Token(kind, self.text[at:end], self._line, at - self._line_start + 1, at, end)

    def _previous(self) -> Token | None:
        return self.tokens[-1] if self.tokens else None

    # ---- lexemes that match ------------------------------------------------------------------------------------------

    def _rate_or(self, kind: str, at: int, end: int) -> tuple[str, int]:
        """``GB/s`` is one unit behind a number and a division elsewhere."""
        previous = self._previous()
        if previous is None or previous.kind != "NUMBER":
            return kind, end
        rate = self._rate(self.text, at)
        return ("RATE", rate.end()) if rate else (kind, end)

    def _comment(self, token: Token) -> None:
        self.comments.append(token)
        for match in characters.INVISIBLE.finditer(token.text):
            self._invisible(token.start + match.start())

    def _number(self, token: Token) -> Token:
        problem = literals.number_value(token.text)
        if isinstance(problem, str):
            self.findings.error(
                "HQ107", "this number is too large or too small", token, label=problem
            )
        return token

    def _string(self, token: Token) -> Token:
        for match in characters.BIDIRECTIONAL.finditer(token.text):
            self._invisible(token.start + match.start())
        if "\\" in token.text:
            for offset, escape in literals.bad_escapes(token.text):
                self._escape(token.start + offset, escape)
        return token

    def _name(self, token: Token) -> Token:
        previous = self._previous()
        if previous is None or previous.kind != "NUMBER" or previous.end != token.start:
            return token
        if token.text.startswith("_"):
            self._malformed(
                previous, token.end, "underscores stand single, between digits", "write `1_000`"
            )
        elif previous.text == "0" and _RADIX.fullmatch(token.text):
            self._malformed(previous, token.end, "numbers are decimal", None)
        return token

    # ---- lexemes that do not -----------------------------------------------------------------------------------------

    def _stray(self, at: int) -> int:
        """Report what starts at ``at`` and is no lexeme, put in what was meant, and return where to read on."""
        character = self.text[at]
        if characters.INVISIBLE.match(character):
            return self._invisible(at)
        if character == '"':
            return self._broken_string(at)
        if character == ".":
            return self._point(at)
        quoted = _QUOTED.match(self.text, at)
        if quoted:
            return self._quoted(at, quoted.end())
        for length in (2, 1):
            sign = self.text[at : at + length]
            if sign in characters.WRITTEN:
                return self._written(at, sign, characters.WRITTEN)
        if character == ";":
            return self._semicolon(at)
        return self._unknown(at)

    def _invisible(self, at: int) -> int:
        character = self.text[at]
        what = (
            "controls the writing direction"
            if characters.BIDIRECTIONAL.match(character)
            else "is invisible"
        )
        self.findings.error(
            "HQ103",
            f"the character {characters.code_point(character)} may not stand in a spec",
            self.token("", at, at + 1),
            label=what if character not in "\r\f\v" else "",
            help_=f"delete it; in a string it can be written as `\\u{{{ord(character):X}}}`"
            if not 0xD800 <= ord(character) <= 0xDFFF
            else "delete it",
            replacement="",
            repaired=True,
        )
        return at + 1

    def _broken_string(self, at: int) -> int:
        closed = _CLOSED.match(self.text, at)
        if closed:
            token = self.token("STRING", at, closed.end())
            self.tokens.append(token)
            for offset, escape in literals.bad_escapes(token.text):
                self._escape(at + offset, escape)
            for match in re.finditer("[\x00-\x1f\x7f]", token.text):
                self._invisible(at + match.start())
            return closed.end()
        end = _OPEN.match(self.text, at).end()  # pyright: ignore[reportOptionalMemberAccess]
        end = at + 1 + len(self.text[at + 1 : end].rstrip(" \t)],{}"))
        token = self.token("STRING", at, end)
        self.findings.error(
            "HQ104",
            "this string has no closing quote",
            token,
            label="starts here and runs to the end of the line",
            help_='end it with `"` on the same line; a quote inside a string is written `\\"`',
        )
        self.tokens.append(token)
        return end

    def _escape(self, at: int, escape: str) -> None:
        self.findings.error(
            "HQ105",
            f"`{escape}` is no escape",
            self.token("", at, at + len(escape)),
            help_='the escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{…}` with a code point; '
            "a backslash itself is written `\\\\`",
        )

    def _point(self, at: int) -> int:
        previous = self._previous()
        end = max(at + 1, _FRACTION.match(self.text, at).end())  # pyright: ignore[reportOptionalMemberAccess]
        if previous is not None and previous.kind == "NUMBER" and previous.end == at:
            self._malformed(
                previous, end, "a point stands between digits", f"write `{previous.text}.0`"
            )
        elif end > at + 1:
            self._malformed(
                self.token("NUMBER", at, at),
                end,
                "a point stands between digits",
                f"write `0{self.text[at:end]}`",
            )
            self.tokens.append(self.token("NUMBER", at, end)._replace(text="0"))
        else:
            return self._unknown(at)
        return end

    def _malformed(self, first: Token, end: int, label: str, help_: str | None) -> None:
        token = self.token("NUMBER", first.start, end)
        self.findings.error(
            "HQ106", f"{token.quoted} is no number", token, label=label, help_=help_
        )

    def _quoted(self, at: int, end: int) -> int:
        token = self.token("STRING", at, end)
        self.findings.error(
            "HQ103",
            "strings stand in double quotes",
            token,
            replacement=f'"{token.text[1:-1]}"',
            help_='put `"` at both ends',
            repaired=True,
        )
        self.tokens.append(token)
        return end

    def _written(self, at: int, sign: str, meanings: dict[str, str]) -> int:
        written = meanings[sign]
        token = self.token("", at, at + len(sign))
        self.findings.error(
            "HQ103",
            f"`{sign}` is not part of the language"
            if sign.isprintable()
            else f"the character {characters.code_point(sign)} may not stand in a spec",
            token,
            help_=f"write `{written}`" if written.strip() else "write a space",
            replacement=written,
            repaired=True,
        )
        meant = self._scan(written)
        if meant is not None and meant.lastgroup != "BLANK":
            self.tokens.append(token._replace(kind=meant.lastgroup or "", text=written))
        return token.end

    def _foreign_comment(self, at: int) -> int:
        end = _LINE.match(self.text, at).end()  # pyright: ignore[reportOptionalMemberAccess]
        self.findings.error(
            "HQ103",
            f"`{self.text[at : at + 2]}` is not part of the language",
            self.token("", at, at + 2),
            help_="a comment starts with `#` and runs to the end of the line",
            repaired=True,
        )
        return end

    def _semicolon(self, at: int) -> int:
        token = self.token("_NL", at, at + 1)
        self.findings.error(
            "HQ103",
            "statements are separated by new lines, there is no `;`",
            token,
            help_="put the next statement on a line of its own",
            repaired=True,
        )
        self.tokens.append(token)
        return at + 1

    def _unknown(self, at: int) -> int:
        word = _WORD.match(self.text, at)
        if word:
            token = self.token("NAME", at, word.end())
            self.findings.error(
                "HQ103",
                f"{token.quoted} is no name",
                token,
                help_="names are made of the letters A to Z and a to z, digits and `_`; "
                "other characters stand only in strings and comments",
            )
            self.tokens.append(token)
            return token.end
        run = _OTHER.match(self.text, at)
        end = run.end() if run else at + 1
        token = self.token("", at, end)
        shown = token.quoted if token.text.isprintable() else characters.code_point(token.text[0])
        self.findings.error("HQ103", f"{shown} is not part of the language", token)
        return end
