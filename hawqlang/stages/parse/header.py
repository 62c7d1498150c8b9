"""``hawq 1``: the version of the language, checked before anything else is read."""

from __future__ import annotations

import re

from hawqlang.diagnostics.suggest import nearest
from hawqlang.stages.parse.tokens import Findings, Token

VERSION = "1"

_HEADER = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+hawq[ \t]+([0-9][^\s#]*)")


def supported(text: str, findings: Findings) -> bool:
    """Return whether the text names no version of the language but the one read here."""
    match = _HEADER.match(text)
    if match is None or match[1].lstrip("0") == VERSION:
        return True
    before = text[: match.start(1)]
    line = before.count("\n") + 1
    column = match.start(1) - before.rfind("\n")
    token = Token("NUMBER", match[1], line, column, match.start(1), match.end(1))
    findings.error(
        "HQ111",
        f"version {match[1]} of the language is not known",
        token,
        label=f"this compiler reads version {VERSION}",
        help_=f"write `hawq {VERSION}`, or use a compiler that reads version {match[1]}"
        if match[1].isdigit()
        else f"write `hawq {VERSION}`",
    )
    return False


def with_header(tokens: list[Token], findings: Findings) -> list[Token]:
    """Return the tokens with a header in front; a missing or misspelled one is reported."""
    words = [(token.kind, token.text) for token in tokens[:2]]
    if words and words[0] == ("NAME", "hawq") and len(words) == 2 and words[1][0] == "NUMBER":
        return tokens
    first = tokens[0]
    meant = first.kind == "NAME" and (first.text == "hawq" or bool(nearest(first.text, ("hawq",))))
    if meant:
        _misspelled(tokens, findings)
        rest = next(n for n, token in enumerate(tokens) if token.kind in {"_NL", "$END"})
        tokens = tokens[rest + 1 :] if tokens[rest].kind == "_NL" else tokens[rest:]
    else:
        findings.error(
            "HQ110",
            "a file starts with the version of the language",
            first.virtual("NAME"),
            help_=f"write `hawq {VERSION}` in the first line",
            replacement=f"hawq {VERSION}\n\n",
            repaired=True,
        )
    return [
        first.virtual("NAME", "hawq"),
        first.virtual("NUMBER", VERSION),
        first.virtual("_NL"),
        *tokens,
    ]


def _misspelled(tokens: list[Token], findings: Findings) -> None:
    first, second = tokens[0], tokens[1]
    whole = second.kind in {"NUMBER", "STRING", "NAME"} and second.line == first.line
    findings.error(
        "HQ110",
        "a file starts with the version of the language",
        first._replace(end=second.end) if whole else first,
        help_=f"write `hawq {VERSION}`",
        replacement=f"hawq {VERSION}",
        repaired=True,
    )
