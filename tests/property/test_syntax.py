"""Nothing makes the parser raise, and a printed tree is read as it was."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hawqlang.base import NOWHERE, Frozen, Span
from hawqlang.diagnostics.formats import render
from hawqlang.ir import syntax
from hawqlang.ir.printer_syntax import print_tree
from hawqlang.stages.parse import parse_text
from hawqlang.stages.parse.brackets import STATEMENT_WORDS
from hawqlang.stages.parse.characters import PAIRS, WRITTEN

ROOT = Path(__file__).resolve().parents[2]

OPERATORS = frozenset({"and", "or", "not", "implies", "except", "where", "of", "same", "each"}) | {
    "true",
    "false",
    "within",
    "across",
}


def bare(value: Any) -> Any:
    """The value without spans, and without the text a tree was read from."""
    match value:
        case Span():
            return NOWHERE
        case Frozen():
            fields = {name: bare(getattr(value, name)) for name in type(value).model_fields}
            return type(value)(**fields | ({"text": ""} if "file" in fields else {}))
        case tuple():
            return tuple(bare(element) for element in value)  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def without_groups(value: Any) -> Any:
    """The value without parentheses around single expressions."""
    match value:
        case syntax.Group(selection=syntax.Selection(items=(inner,), excluded=())):
            return without_groups(inner)
        case Frozen():
            fields = {
                name: without_groups(getattr(value, name)) for name in type(value).model_fields
            }
            return type(value)(**fields)
        case tuple():
            return tuple(without_groups(element) for element in value)  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


# ---- trees ---------------------------------------------------------------------------------------

words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,7}", fullmatch=True) | st.sampled_from(
    sorted(OPERATORS | STATEMENT_WORDS)
)
any_names = st.builds(syntax.Name, text=words, span=st.just(NOWHERE))
names = any_names.filter(lambda name: name.text not in OPERATORS)
plain_names = names.filter(lambda name: name.text not in STATEMENT_WORDS)
dotted = st.tuples(words, words).map(lambda pair: syntax.Name(text=".".join(pair), span=NOWHERE))
strings = st.builds(
    syntax.String,
    value=st.text(st.characters(codec="utf-8"), max_size=8),
    span=st.just(NOWHERE),
)
units = (
    st.none()
    | st.sampled_from(["%", "MiB", "GB/s", "TMACs/s", "ms"])
    | plain_names.map(lambda name: name.text)
)
integers = st.builds(
    syntax.Quantity,
    number=st.integers(0, 2**63 - 1).map(Fraction),
    unit=units,
    integral=st.just(True),
    span=st.just(NOWHERE),
)
decimals = st.builds(
    syntax.Quantity,
    number=st.tuples(st.integers(0, 10**20), st.integers(-40, 40)).map(
        lambda pair: pair[0] * Fraction(10) ** pair[1]
    ),
    unit=units,
    integral=st.just(False),
    span=st.just(NOWHERE),
)
quantities = integers | decimals
atoms: st.SearchStrategy[Any] = st.one_of(
    quantities,
    strings,
    st.builds(syntax.Boolean, value=st.booleans(), span=st.just(NOWHERE)),
    names,
    dotted,
)


def some(strategy: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=3).map(tuple)


def selections(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[syntax.Selection]:
    return st.builds(
        syntax.Selection, items=some(inner, 1), excluded=some(inner), span=st.just(NOWHERE)
    )


@st.composite
def chains(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> syntax.Chain:
    comparators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    operands = draw(st.lists(inner, min_size=2, max_size=4))
    operators: list[Any] = [draw(comparators) for _ in operands[1:]]
    return syntax.Chain(operands=tuple(operands), operators=tuple(operators), span=NOWHERE)


def calls(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[syntax.Call]:
    argument = st.builds(
        syntax.Argument, name=st.none() | names, value=inner, span=st.just(NOWHERE)
    )
    plain = st.builds(
        syntax.Call,
        function=names,
        arguments=some(argument),
        excluded=st.just(()),
        where=st.none(),
        span=st.just(NOWHERE),
    )
    selecting = st.builds(
        syntax.Call,
        function=names,
        arguments=some(argument, 1),
        excluded=some(inner),
        where=st.none() | inner,
        span=st.just(NOWHERE),
    )
    return plain | selecting


def binaries(
    ops: list[str], left: st.SearchStrategy[Any], right: st.SearchStrategy[Any]
) -> st.SearchStrategy[syntax.Binary]:
    return st.builds(
        syntax.Binary, op=st.sampled_from(ops), left=left, right=right, span=st.just(NOWHERE)
    )


def unaries(ops: list[str], operand: st.SearchStrategy[Any]) -> st.SearchStrategy[syntax.Unary]:
    return st.builds(syntax.Unary, op=st.sampled_from(ops), operand=operand, span=st.just(NOWHERE))


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(syntax.ListExpr, items=some(inner), span=st.just(NOWHERE)),
        calls(inner),
        st.builds(syntax.Group, selection=selections(inner), span=st.just(NOWHERE)),
        binaries(["+", "-", "*", "/", "of", "and", "or", "implies"], inner, inner),
        unaries(["-", "not"], inner),
        chains(inner),
    )


expressions: st.SearchStrategy[Any] = st.recursive(atoms, compound, max_leaves=8)
ties = st.builds(syntax.Tie, what=names, selection=selections(expressions), span=st.just(NOWHERE))
tied: st.SearchStrategy[Any] = st.recursive(
    ties,
    lambda inner: st.one_of(
        binaries(["and", "or", "implies"], expressions | inner, inner), unaries(["not"], inner)
    ),
    max_leaves=3,
)
setting = st.builds(syntax.Setting, name=plain_names, value=expressions, span=st.just(NOWHERE))


def bodies(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[syntax.Body]:
    return st.builds(syntax.Body, entries=some(entries), span=st.just(NOWHERE))


entries: st.SearchStrategy[Any] = st.recursive(
    setting,
    lambda inner: st.builds(
        syntax.Block, name=plain_names, body=bodies(inner), span=st.just(NOWHERE)
    ),
    max_leaves=3,
)
goal = st.builds(
    syntax.Goal, value=expressions, within=st.none() | quantities, span=st.just(NOWHERE)
)
constraint = st.builds(
    syntax.Constraint,
    name=any_names,
    each=st.none(),
    expression=expressions | tied,
    span=st.just(NOWHERE),
) | st.builds(
    syntax.Constraint,
    name=any_names,
    each=selections(expressions),
    expression=expressions,
    span=st.just(NOWHERE),
)
statement = st.one_of(
    entries,
    st.builds(
        syntax.Objective,
        sense=st.sampled_from(["minimize", "maximize"]),
        goals=some(goal, 1),
        span=st.just(NOWHERE),
    ),
    st.builds(syntax.Subject, constraints=some(constraint), span=st.just(NOWHERE)),
    st.builds(
        syntax.LayerBlock,
        selection=selections(expressions),
        body=bodies(entries),
        span=st.just(NOWHERE),
    ),
    st.builds(syntax.Emit, names=some(any_names, 1), body=st.none(), span=st.just(NOWHERE)),
    st.builds(
        syntax.Emit,
        names=any_names.map(lambda name: (name,)),
        body=bodies(entries),
        span=st.just(NOWHERE),
    ),
)
item = st.one_of(
    st.builds(syntax.Import, path=strings, span=st.just(NOWHERE)),
    st.builds(
        syntax.Param,
        name=any_names,
        type_=any_names,
        default=st.none() | expressions,
        span=st.just(NOWHERE),
    ),
    st.builds(
        syntax.Declaration,
        kind=st.sampled_from(["model", "dataset", "target"]),
        name=any_names,
        body=bodies(entries),
        span=st.just(NOWHERE),
    ),
    st.builds(
        syntax.QuantizeDecl,
        model=any_names | dotted,
        target=any_names | dotted,
        dataset=st.none() | any_names,
        alias=st.none() | any_names,
        statements=some(statement),
        span=st.just(NOWHERE),
        head=st.just(NOWHERE),
    ),
)
trees = st.builds(
    syntax.SyntaxTree,
    file=st.just(""),
    text=st.just(""),
    version=st.just(syntax.Quantity(number=Fraction(1), unit=None, integral=True, span=NOWHERE)),
    items=some(item),
    ignores=st.just(()),
    partial=st.just(False),
)


@given(trees)
@settings(deadline=None)
def test_a_printed_tree_is_read_as_it_was(tree: syntax.SyntaxTree) -> None:
    text = print_tree(tree)
    read, diagnostics = parse_text(text, "")

    assert not diagnostics, (text, diagnostics)
    assert without_groups(bare(read)) == without_groups(tree), text
    assert bare(parse_text(print_tree(read), "")[0]) == bare(read)
    assert print_tree(read) == text


# ---- any text ------------------------------------------------------------------------------------

SPEC = (ROOT / "tests" / "spec_cases" / "whole.hawq").read_text(encoding="utf-8")
ODD = frozenset(
    {"// x", "1__0", "0x1F", ".5", "1.", "1e999", "'a'", '"\\q"', "“a”", "é", "aé", "\u200b"}
)
snippets = st.sampled_from(
    sorted(
        {*SPEC.split(), *SPEC.splitlines(keepends=True), *WRITTEN, *PAIRS, *OPERATORS, *ODD}
        | {*"(){}[]\n=:,\"'#\\.;%"}
    )
) | st.text(max_size=3)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A whole spec with some pieces cut out and others put in."""
    text = SPEC
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(snippets) + text[end:]
    return text


def check_total(text: str) -> None:
    """Parsing and rendering end without an exception, and tree and diagnostics agree."""
    tree, diagnostics = parse_text(text, "spec.hawq")

    errors = [d for d in diagnostics if d.severity == "error"]
    assert tree.partial == bool(errors)
    lines = text.removeprefix("\ufeff").split("\n")
    for diagnostic in diagnostics:
        span = diagnostic.span
        assert span is not None
        assert 1 <= span.line <= span.end_line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)
    render(diagnostics, {"spec.hawq": text}).encode("utf-8")
    render(diagnostics, {}, "sarif").encode("utf-8")


@given(st.text(st.characters(), max_size=60))
@settings(deadline=None)
@example("\ud800")
@example("hawq 1\n" + "a" * 40)
@example("hawq 1\n" + "(" * 300)
@example("hawq 1\nparam x: int = " + "-" * 3000 + "1")
@example("hawq 1\nparam x: int = " + "f(" * 64 + ")" * 64)
@example("hawq 1\nparam x: int = 1" + " + 1" * 3000)
@example("hawq 1\n" + "model m {\n" * 100)
@example("hawq 1\n" + "}\n" * 300)
@example("hawq 1\nx {\n")
@example("hawq 1\nsubject to { a: { b {")
@example("hawq")
@example("hawq 1 {")
@example("hawq 00001\n" + "9" * 5000)
@example("hawq 1\nparam x: int = 1e99999999999")
@example("hawq 1\nparam x: int = 0.0e-99999999999")
def test_no_text_makes_the_parser_raise(text: str) -> None:
    check_total(text)
    check_total(f"hawq 1\n{text}")


@given(st.lists(snippets, max_size=25))
@settings(deadline=None)
def test_no_words_of_the_language_make_the_parser_raise(pieces: list[str]) -> None:
    check_total("hawq 1\n" + " ".join(pieces))


@given(damaged())
@settings(max_examples=200, deadline=None)
def test_no_damage_to_a_spec_makes_the_parser_raise(text: str) -> None:
    check_total(text)


@given(damaged())
@settings(deadline=None)
def test_what_is_left_of_a_damaged_spec_can_be_printed_and_read(text: str) -> None:
    tree, _ = parse_text(text, "")

    read, diagnostics = parse_text(print_tree(tree), "")

    assert [d for d in diagnostics if d.severity == "error"] == []
    assert read.items == () or bare(read.items) == bare(tree.items)
