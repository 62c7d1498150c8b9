"""Syntax errors in the reader's words."""

from __future__ import annotations

from hawqlang.stages.parse.driver import Trouble
from hawqlang.stages.parse.examples import ANY, known
from hawqlang.stages.parse.tables import END
from hawqlang.stages.parse.tokens import Findings, Token

_VALUE = frozenset({"NUMBER", "STRING", "NAME", "LPAR", "LSQB"})
_SIGNS = {
    "COLON": "`:`",
    "COMMA": "`,`",
    "EQUAL": "`=`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string in double quotes",
    "_NL": "the end of the line",
}


def explain(trouble: Trouble, findings: Findings) -> None:
    """Report a token that may not stand where it does."""
    state, expected, terminal = trouble.key
    sample = known().get((state, expected, terminal)) or known().get((state, expected, ANY))
    at = place(trouble)
    if sample is not None:
        words = {
            "found": found(trouble.token),
            "first": trouble.first.shown,
            "previous": trouble.previous.shown,
        }
        findings.error(
            sample.code,
            _filled(sample.message, words),
            at,
            help_=None if sample.help is None else _filled(sample.help, words),
            replacement=sample.replacement if sample.behind is None else sample.behind,
            replaces=findings.span(at if sample.behind is None else trouble.previous.behind()),
        )
        return
    if expected >= _VALUE:
        findings.error("HQ132", f"{found(trouble.token)} stands where a value should", at)
    else:
        wanted = expectation(expected)
        findings.error("HQ139", f"{found(trouble.token)} stands where {wanted} should", at)


def found(token: Token) -> str:
    """Return what stands there, in words."""
    match token.kind:
        case "_NL":
            return "the end of the line"
        case "$END":
            return "the end of the file"
        case _:
            return token.quoted


def place(trouble: Trouble) -> Token:
    """Return what to point at: where something is missing, the place where it is."""
    token, previous = trouble.token, trouble.previous
    return previous.behind() if token.kind in {"_NL", END} else token


def expectation(expected: frozenset[str]) -> str:
    """Return in words what may stand somewhere: what ends it, else every choice."""
    ends = [_SIGNS[kind] for kind in ("_NL", "RPAR", "RSQB") if kind in expected]
    if ends:
        return ends[0] if "COMMA" not in expected else f"`,` or {ends[0]}"
    words = sorted(_SIGNS.get(kind, f"`{kind.lower()}`") for kind in expected - {END})
    return _either(words or ["the end of the file"])


def _either(choices: list[str]) -> str:
    *head, last = choices
    return f"{', '.join(head)} or {last}" if head else last


def _filled(text: str, words: dict[str, str]) -> str:
    for key, word in words.items():
        text = text.replace(f"{{{key}}}", word)
    return text
