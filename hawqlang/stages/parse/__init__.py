"""Text → SyntaxTree: what was written, with every independent error in one run."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path

from hawqlang.base import Span
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.syntax import Quantity, SyntaxTree
from hawqlang.stages.parse.brackets import balance, shallow
from hawqlang.stages.parse.build import Builder
from hawqlang.stages.parse.driver import Driver
from hawqlang.stages.parse.header import supported, with_header
from hawqlang.stages.parse.ignores import ignore_comments
from hawqlang.stages.parse.lexer import Lexer
from hawqlang.stages.parse.messages import explain
from hawqlang.stages.parse.read import MAX_BYTES, decode, read_bytes
from hawqlang.stages.parse.tables import END, grammar_tables
from hawqlang.stages.parse.tokens import Findings, Token

Parsed = tuple[SyntaxTree, tuple[Diagnostic, ...]]


def parse_file(path: Path, shown_as: str | None = None) -> Parsed:
    """Return the tree of a file and all that is wrong with it.

    Args:
        path: The file to read.
        shown_as: How to call it in diagnostics; by default ``path`` as it is.

    Raises:
        ToolError: The file cannot be opened.
    """
    shown_as = str(path) if shown_as is None else shown_as
    data = read_bytes(path, shown_as)
    findings = Findings(shown_as)
    text = decode(data, findings)
    if text is None:
        return _nothing(data[:MAX_BYTES].decode("utf-8", "replace"), findings)
    return parse_text(text, shown_as)


def parse_text(text: str, file: str) -> Parsed:
    """Return the tree of a text and all that is wrong with it, in the order of the text.

    The tree holds every statement that could be read, as it is or as it was most likely meant, and
    is ``partial`` where there were others. No text makes this function raise.

    Args:
        text: What the file holds; a byte order mark at its start is skipped.
        file: The path to show to the reader.
    """
    findings = Findings(file)
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        decode(b" " * (MAX_BYTES + 1), findings)
        return _nothing(text, findings)
    if not supported(text, findings):
        return _nothing(text, findings)
    lexer = Lexer(text, grammar_tables().terminals, findings)
    lexer.run()
    if not lexer.whole:
        return _nothing(text, findings)
    tokens = [*balance(lexer.tokens, findings), lexer.token(END, len(text), len(text))]
    if not shallow(tokens, findings):
        return _nothing(text, findings)
    ignores = ignore_comments(lexer.comments, tokens, findings)
    driver = Driver(
        grammar_tables(), Builder(file, findings), findings, partial(explain, findings=findings)
    )
    value = driver.run(with_header(tokens, findings))
    if value is None:
        return _nothing(text, findings)
    version, items = value
    tree = SyntaxTree(
        file=file,
        text=text,
        version=version,
        items=items,
        ignores=ignores,
        partial=findings.damaged,
    )
    return tree, findings.sorted()


def lexemes(text: str) -> tuple[list[Token], list[Token]]:
    """Return the tokens of a text without errors, newlines among them, and its comments."""
    lexer = Lexer(text, grammar_tables().terminals, Findings(""))
    lexer.run()
    return lexer.tokens, lexer.comments


def _nothing(text: str, findings: Findings) -> Parsed:
    """Return the tree of a text of which nothing could be read."""
    start = Span(file=findings.file, line=1, column=1, end_line=1, end_column=1)
    version = Quantity(number=Fraction(1), unit=None, integral=True, span=start)
    tree = SyntaxTree(file=findings.file, text=text, version=version, items=(), partial=True)
    return tree, findings.sorted()


__all__ = ["Parsed", "lexemes", "parse_file", "parse_text"]
