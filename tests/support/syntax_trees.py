"""Syntax trees for property tests, and what they say without places and parentheses."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from hawqlang.base import NOWHERE, Frozen, Span
from hawqlang.ir import syntax
from hawqlang.stages.parse.braces import STATEMENT_WORDS

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
