"""``# hawq: ignore[HQ214]``: comments that silence warnings."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from hawqlang.ir.syntax import IgnoreComment
from hawqlang.stages.parse.tokens import Findings, Token

_MEANT = re.compile(r"#[ \t]*hawq[ \t]*:", re.IGNORECASE)
_CODE = "HQ[1-9][0-9]{2}"
_READABLE = re.compile(
    rf"#[ \t]*hawq:[ \t]*ignore\[[ \t]*({_CODE}(?:[ \t]*,[ \t]*{_CODE})*)[ \t]*\][ \t]*"
)


def ignore_comments(
    comments: Iterable[Token], tokens: Sequence[Token], findings: Findings
) -> tuple[IgnoreComment, ...]:
    """Return the comments that silence warnings; every newline in ``tokens`` ends a statement."""
    starts = [token.start for token in tokens]
    found: list[IgnoreComment] = []
    for comment in comments:
        if not _MEANT.match(comment.text):
            continue
        readable = _READABLE.fullmatch(comment.text)
        if readable is None:
            findings.warning(
                "HQ190",
                "this `# hawq:` comment means nothing",
                comment,
                help_="to silence warnings write `# hawq: ignore[HQ214, HQ215]`",
            )
            continue
        line, last_line = _reach(comment, tokens, bisect_left(starts, comment.start))
        codes = tuple(code.strip() for code in readable[1].split(","))
        found.append(
            IgnoreComment(codes=codes, line=line, last_line=last_line, span=findings.span(comment))
        )
    return tuple(found)


def _reach(comment: Token, tokens: Sequence[Token], after: int) -> tuple[int, int]:
    """Return the lines a comment speaks of: its own, or the next statement up to its ``{``."""
    if after and tokens[after - 1].line == comment.line and tokens[after - 1].kind != "_NL":
        return comment.line, comment.line
    while tokens[after].kind in {"_NL", "RBRACE"}:
        after += 1
    first = last = tokens[after]
    while tokens[after].kind not in {"_NL", "LBRACE", "RBRACE", "$END"}:
        last = tokens[after]
        after += 1
    return (first.line, last.line) if first.kind != "$END" else (0, 0)
