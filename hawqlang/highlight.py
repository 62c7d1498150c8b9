"""A Pygments lexer for `.hawq`: documentation tools find it by its entry point, terminals get its colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pygments.lexer import (
    RegexLexer,
    bygroups,  # pyright: ignore[reportUnknownVariableType]
    words,
)
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

from hawqlang.ir.units import UNITS
from hawqlang.stages.parse.braces import STATEMENT_WORDS
from hawqlang.stages.resolve.scope import (
    METRICS,
    OPERATOR_WORDS,
    PROPERTIES,
    SELECTOR_FORMS,
    SELECTOR_WORDS,
)

_LOGIC = ("and", "or", "not", "implies", "of")
_WORDS = (
    *STATEMENT_WORDS,
    *("hawq", "to", "on", "with", "as", "within", "across"),
    *(word for word in OPERATOR_WORDS if word not in _LOGIC),
)
_BUILTINS = (*METRICS, *PROPERTIES, *SELECTOR_WORDS, *SELECTOR_FORMS, "count")
_UNITS = sorted((unit for unit in UNITS if unit != "%"), key=len, reverse=True)
_NUMBER = r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?"


class HawqLexer(RegexLexer):
    """Colours a spec; words are keywords where they stand as such, and names before `=` and `:`."""

    name = "HAWQ"
    url = ""
    aliases: ClassVar[Sequence[str]] = ("hawq",)
    filenames: ClassVar[Sequence[str]] = ("*.hawq",)
    mimetypes: ClassVar[Sequence[str]] = ("text/x-hawq",)

    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (r"\s+", Whitespace),
            (r"#[^\r\n]*", Comment.Single),
            (r'"(?:[^"\\\n]|\\.)*"', String.Double),
            (
                rf"({_NUMBER})([ \t]*)({'|'.join(_UNITS)})\b",
                bygroups(Number, Whitespace, Keyword.Type),
            ),
            (rf"({_NUMBER})([ \t]*)(%)", bygroups(Number, Whitespace, Keyword.Type)),
            (_NUMBER, Number),
            (r"([A-Za-z_]\w*)([ \t]*)(=(?!=)|:)", bygroups(Name.Attribute, Whitespace, Operator)),
            (r"(?:w[0-9]+a[0-9]+|fp32)\b", Name.Constant),
            (words(_LOGIC, suffix=r"\b"), Operator.Word),
            (words(("true", "false"), suffix=r"\b"), Keyword.Constant),
            (words(_WORDS, suffix=r"\b"), Keyword),
            (words(_BUILTINS, suffix=r"\b"), Name.Builtin),
            (r"[A-Za-z_]\w*(?=[ \t]*\()", Name.Function),
            (r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", Name),
            (r"[<>=!]=|[<>=+*/-]", Operator),
            (r"[{}()\[\],:%]", Punctuation),
            (r".", Error),
        ]
    }
