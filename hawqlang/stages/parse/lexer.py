"""Text → tokens, by one regular expression made of the grammar's terminals.

Words stay ``NAME``: the parser knows which of them are keywords where. What is no lexeme is
reported and replaced by what was most likely meant, so that one slip gives one error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from hawqlang.stages.parse.characters import (
    BIDIRECTIONAL,
    INVISIBLE,
    PAIRS,
    WRITTEN,
    code_point,
)
from hawqlang.stages.parse.literals import bad_escapes, number_value
from hawqlang.stages.parse.tables import Terminal
from hawqlang.stages.parse.tokens import Findings, Token

_QUOTED = re.compile(
    "'[^'\n\r]{0,999}'"
    '|[\u201c-\u201f][^\u201c-\u201f"\n\r]{0,999}[\u201c-\u201f"]'
    "|\u2018[^\u2018\u2019\n\r]{0,999}\u2019"
)
"""A string in single or typographic quotes."""
_CLOSED = re.compile(r'"(?:[^"\\\n\r]|\\[^\n\r])*"')
_LINE = re.compile(r"[^\r\n]*")
_REST = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:[\r\n]|\Z)")
"""Nothing more on a line, or a comment."""
_BEFORE_COMMENT = re.compile(r"[^\r\n#]*")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_WORD = re.compile(r"\w[\w\u0300-\u036f]*")
_DIGITS = re.compile(r"[0-9]+(_[0-9]+)*")
_RADIX = re.compile(r"[xXbBoO][0-9A-Fa-f_]*")
_FRACTION = re.compile(r"[.0-9_]*(?:[eE][+-]?[0-9]+)?")
_OTHER = re.compile("[^\\w\\s\"'#{}()\\[\\],:=+*/<>%-]+")


MAX_TOKENS = 50_000
"""So many times what the largest real spec has; keeps time and memory small."""


def scanner(terminals: Iterable[Terminal]) -> re.Pattern[str]:
    """Return the expression that matches a lexeme; its group is the terminal, words are names."""
    groups = [
        f"(?P<{t.name}>{re.escape(t.pattern) if t.literal else t.pattern})"
        for t in terminals
        if not (t.literal and t.pattern.isidentifier()) and t.name != "RATE"
    ]
    return re.compile("|".join(groups))


class Lexer:
    """Reads one text. ``tokens`` has no blanks and no comments; those are in ``comments``."""

    def __init__(
        self, text: str, terminals: Iterable[Terminal], findings: Findings, line: int = 1
    ) -> None:
        terminals = tuple(terminals)
        self.text = text
        self.findings = findings
        self.tokens: list[Token] = []
        self.comments: list[Token] = []
        self.whole = True
        """Whether the text was read to its end."""
        self._scan = scanner(terminals).match
        self._rate = next(re.compile(t.pattern).match for t in terminals if t.name == "RATE")
        self._line = line
        self._line_start = 0
        self._checks: Mapping[str, Callable[[Token], None]] = {
            "NUMBER": self._number,
            "STRING": self._string,
            "NAME": self._name,
            "DOTTED": self._name,
        }

    def run(self) -> None:
        """Fill ``tokens`` and ``comments``."""
        at = 0
        while at < len(self.text):
            if len(self.tokens) + len(self.comments) > MAX_TOKENS:
                self._too_many(at)
                return
            pair = self.text[at : at + 2]
            if pair in PAIRS:
                at = self._written(at, pair, PAIRS)
            elif pair in {"//", "/*"}:
                at = self._foreign_comment(at)
            elif match := self._scan(self.text, at):
                at = self._lexeme(match.lastgroup or "", at, match.end())
            else:
                at = self._stray(at)

    def _too_many(self, at: int) -> None:
        self.findings.error(
            "HQ102",
            f"a spec has at most {MAX_TOKENS} words, signs and comments",
            self.token("", at, at),
            help_="split it and `import` the parts",
        )
        self.whole = False

    def token(self, kind: str, start: int, end: int) -> Token:
        """Return a piece of the current line as a token."""
        column = start - self._line_start + 1
        return Token(kind, self.text[start:end], self._line, column, start, end)

    def _previous(self, kind: str, end: int) -> Token | None:
        """Return the last token if it is of a kind and ends right here."""
        last = self.tokens[-1] if self.tokens else None
        return last if last is not None and last.kind == kind and last.end == end else None

    def _at(self, pattern: re.Pattern[str], at: int) -> int:
        """Return where the match of a pattern that always matches ends."""
        match = pattern.match(self.text, at)
        return at if match is None else match.end()

    # ---- lexemes ---------------------------------------------------------------------------------

    def _lexeme(self, kind: str, start: int, end: int) -> int:
        """Take one lexeme and return where to read on."""
        if kind in {"NAME", "DOTTED"} and self.tokens and self.tokens[-1].kind == "NUMBER":
            rate = self._rate(self.text, start)  # `GB/s` divides anywhere but behind a number
            kind, end = ("RATE", rate.end()) if rate else (kind, end)
        if kind == "BLANK":
            return end
        token = self.token(kind, start, end)
        if kind == "COMMENT":
            self._comment(token)
            return end
        check = self._checks.get(kind)
        if check is not None:
            check(token)
        self.tokens.append(token)
        if kind == "_NL":
            self._line += 1
            self._line_start = end
        return end

    def _comment(self, token: Token) -> None:
        self.comments.append(token)
        for match in INVISIBLE.finditer(token.text):
            self._invisible(token.start + match.start())

    def _number(self, token: Token) -> None:
        problem = number_value(token.text)
        if isinstance(problem, str):
            title = "this number is too large or too small"
            self.findings.error("HQ107", title, token, label=problem)

    def _string(self, token: Token) -> None:
        for match in BIDIRECTIONAL.finditer(token.text):
            self._invisible(token.start + match.start())
        if "\\" in token.text:
            for offset, escape in bad_escapes(token.text):
                self._escape(token.start + offset, escape)

    def _name(self, token: Token) -> None:
        """Report a name that is the broken end of a number: ``1__000``, ``0x1F``."""
        number = self._previous("NUMBER", token.start)
        if number is None:
            return
        if token.text.startswith("_"):
            why = "underscores stand single, between digits"
            meant = re.sub("_+", "_", number.text + token.text).strip("_")
            digits = meant if _DIGITS.fullmatch(meant) else None
            self._malformed(number.start, token.end, why, "write `1_000`", digits)
        elif number.text == "0" and _RADIX.fullmatch(token.text):
            self._malformed(number.start, token.end, "numbers are decimal", None)

    # ---- what is no lexeme -----------------------------------------------------------------------

    def _stray(self, at: int) -> int:
        """Report what starts here, put in what was meant, and return where to read on."""
        character = self.text[at]
        quoted = _QUOTED.match(self.text, at)
        signs = [s for s in (self.text[at : at + 2], character) if s in WRITTEN]
        if INVISIBLE.match(character):
            end = self._invisible(at)
        elif character == '"':
            end = self._broken_string(at)
        elif quoted is not None:
            end = self._quoted(at, quoted.end())
        elif signs:
            end = self._written(at, signs[0], WRITTEN)
        elif character == ";":
            end = self._semicolon(at)
        else:
            end = self._point(at) if character == "." else self._unknown(at)
        return end

    def _invisible(self, at: int) -> int:
        character = self.text[at]
        directs = BIDIRECTIONAL.match(character) is not None
        surrogate = 0xD800 <= ord(character) <= 0xDFFF
        written = f"; in a string it can be written as `\\u{{{ord(character):X}}}`"
        self.findings.error(
            "HQ103",
            f"the character {code_point(character)} may not stand in a spec",
            self.token("", at, at + 1),
            label="controls the writing direction" if directs else "is invisible",
            help_="delete it" + ("" if surrogate else written),
            replacement="",
            repaired=True,
        )
        return at + 1

    def _broken_string(self, at: int) -> int:
        if _CLOSED.match(self.text, at):
            token = self.token("STRING", at, self._at(_CLOSED, at))
            for match in _CONTROL.finditer(token.text):
                self._invisible(token.start + match.start())
            self._string(token)
        else:
            rest = self.text[at + 1 : self._at(_BEFORE_COMMENT, at)]
            token = self.token("STRING", at, at + 1 + len(rest.rstrip(" \t)],{}")))
            self.findings.error(
                "HQ104",
                "this string has no closing quote",
                token,
                label="starts here and runs to the end of the line",
                help_='end it with `"` on the same line; a quote inside a string is written `\\"`',
                replacement=f'{token.text}"',
                guess=True,
            )
        self.tokens.append(token)
        return token.end

    def _escape(self, at: int, escape: str) -> None:
        self.findings.error(
            "HQ105",
            f"`{escape}` is no escape",
            self.token("", at, at + len(escape)),
            help_='the escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{…}` with a code point; '
            "a backslash itself is written `\\\\`",
            replacement=f"\\{escape}",
            guess=True,
        )

    def _point(self, at: int) -> int:
        """Report a number with a point at its end, its start, or too many."""
        number = self._previous("NUMBER", at)
        end = max(at + 1, self._at(_FRACTION, at))
        why = "a point stands between digits"
        if number is not None and "." in number.text:
            self._malformed(number.start, end, "a number has one point", None)
        elif number is not None:
            meant = f"{number.text}.0" if end == at + 1 else None
            self._malformed(number.start, end, why, f"write `{number.text}.0`", meant)
        elif end > at + 1:
            meant = f"0{self.text[at:end]}"
            self._malformed(at, end, why, f"write `{meant}`", meant)
            self.tokens.append(self.token("NUMBER", at, end)._replace(text="0"))
        else:
            return self._unknown(at)
        return end

    def _malformed(
        self, start: int, end: int, label: str, help_: str | None, meant: str | None = None
    ) -> None:
        token = self.token("NUMBER", start, end)
        self.findings.error(
            "HQ106",
            f"{token.quoted} is no number",
            token,
            label=label,
            help_=help_,
            replacement=meant,
        )

    def _quoted(self, at: int, end: int) -> int:
        token = self.token("STRING", at, end)
        self.findings.error(
            "HQ103",
            "strings stand in double quotes",
            token,
            replacement='"' + token.text[1:-1].replace('"', '\\"') + '"',
            help_='put `"` at both ends',
            repaired=True,
        )
        self.tokens.append(token)
        return end

    def _written(self, at: int, sign: str, meanings: Mapping[str, str]) -> int:
        """Report a sign of another language and put in what this one writes."""
        written = meanings[sign]
        token = self.token("", at, at + len(sign))
        blank = written == " "
        shown = f"the character {code_point(sign)}" if blank else f"`{sign}`"
        self.findings.error(
            "HQ103",
            f"{shown} is not part of the language",
            token,
            help_="write a space" if blank else f"write `{written}`",
            replacement=self._apart(written, token) if written.isalpha() else written,
            repaired=True,
        )
        meant = self._scan(written)
        if meant is not None and not blank:
            self.tokens.append(token._replace(kind=meant.lastgroup or "", text=written))
        return token.end

    def _apart(self, word: str, sign: Token) -> str:
        """Return a word with the blanks it needs in the place of a sign."""
        before, after = self.text[sign.start - 1 : sign.start], self.text[sign.end : sign.end + 1]
        left = " " if _WORD.match(before) else ""
        return left + word + (" " if _WORD.match(after) or after in WRITTEN else "")

    def _foreign_comment(self, at: int) -> int:
        self.findings.error(
            "HQ103",
            f"`{self.text[at : at + 2]}` is not part of the language",
            self.token("", at, at + 2),
            help_="a comment starts with `#` and runs to the end of the line",
            replacement="#",
            repaired=True,
        )
        return self._at(_LINE, at)

    def _semicolon(self, at: int) -> int:
        token = self.token("_NL", at, at + 1)
        self.findings.error(
            "HQ103",
            "statements are separated by new lines, there is no `;`",
            token,
            help_="put the next statement on a line of its own",
            replacement="" if _REST.match(self.text, at + 1) else "\n",
            repaired=True,
        )
        self.tokens.append(token)
        return at + 1

    def _unknown(self, at: int) -> int:
        """Report a word with other letters as one, else a run of other signs."""
        if _WORD.match(self.text, at):
            start = self.tokens.pop().start if self._previous("NAME", at) else at
            token = self.token("NAME", start, self._at(_WORD, at))
            self.findings.error(
                "HQ103",
                f"{token.quoted} is no name",
                token,
                help_="names are made of the letters A to Z and a to z, digits and `_`; "
                "other characters stand only in strings and comments",
            )
            self.tokens.append(token)
            return token.end
        token = self.token("", at, max(at + 1, self._at(_OTHER, at)))
        shown = token.quoted if token.text.isprintable() else code_point(token.text[0])
        self.findings.error("HQ103", f"{shown} is not part of the language", token)
        return token.end
