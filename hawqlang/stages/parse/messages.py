"""Syntax errors in the reader's words."""

from __future__ import annotations

from hawqlang.stages.parse.driver import Trouble
from hawqlang.stages.parse.tables import END
from hawqlang.stages.parse.tokens import Findings, Token

_WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "_NL": "a new line",
    END: "the end of the file",
    "COMPARE": "a comparison",
    "MUL": "`*`",
    "ADD": "`+`",
    "SUB": "`-`",
    "EQUAL": "`=`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
}


def found(token: Token) -> str:
    """Return what stands there, in words."""
    match token.kind:
        case "_NL":
            return "the end of the line"
        case "$END":
            return "the end of the file"
        case _:
            return f"`{token.text or token.kind}`"


def place(trouble: Trouble) -> Token:
    """Return the token to point at: where something is missing, the place behind what stands before it."""
    token, previous = trouble.token, trouble.previous
    if token.kind in {"_NL", END}:
        return Token(token.kind, "", previous.line, previous.end_column, previous.end, previous.end)
    return token


def explain(trouble: Trouble, findings: Findings) -> None:
    """Report a token that may not stand where it does."""
    findings.error("HQ139", f"{found(trouble.token)} may not stand here", place(trouble))
