"""Text → SyntaxTree: what was written, with every independent error in one run."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from hawqlang.base import Span
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.syntax import Quantity, SyntaxTree
from hawqlang.stages.parse.brackets import balance
from hawqlang.stages.parse.build import Builder
from hawqlang.stages.parse.driver import Driver
from hawqlang.stages.parse.lexer import Lexer
from hawqlang.stages.parse.messages import explain
from hawqlang.stages.parse.tables import END, tables
from hawqlang.stages.parse.tokens import Findings, Token


def parse_text(text: str, file: str) -> tuple[SyntaxTree, tuple[Diagnostic, ...]]:
    """Return the tree of a text and all that is wrong with it; ``file`` is the path shown to the reader."""
    text = text.removeprefix("\ufeff")
    findings = Findings(file)
    lexer = Lexer(text, tables().terminals, findings)
    lexer.run()
    tokens = [*balance(lexer.tokens, findings), lexer.token(END, len(text), len(text))]
    driver = Driver(tables(), Builder(file, findings), findings, partial(explain, findings=findings))
    value = driver.run(tokens)
    version, items = value if value is not None else (_version_one(file), ())
    return (
        SyntaxTree(
            file=file,
            text=text,
            version=version,
            items=items,
            partial=bool(findings.reported),
        ),
        tuple(findings.diagnostics),
    )


def _version_one(file: str) -> Quantity:
    start = Span(file=file, line=1, column=1, end_line=1, end_column=1)
    return Quantity(number=Fraction(1), unit=None, integral=True, span=start)


__all__ = ["Token", "parse_text"]
