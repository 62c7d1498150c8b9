"""What each rule of the grammar becomes: children → node of the syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias

from hawqlang.base import Span
from hawqlang.ir import syntax
from hawqlang.stages.parse import literals
from hawqlang.stages.parse.tokens import Findings, Token

Children: TypeAlias = list[Any]


class Dropped:
    """Stands where a statement with an error was."""


DROPPED = Dropped()


class Excluded(tuple[syntax.Expr, ...]):
    """What ``except`` takes away."""


class Where(tuple[syntax.Expr]):
    """The condition behind ``where``."""


class Builder:
    """Makes the nodes of one file; statements that hold an unrepaired error are left out."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings

    def reduce(self, name: str, children: Children, first: Token, last: Token) -> Any:
        """Return the value of a rule's children."""
        span = Span(
            file=self.file,
            line=first.line,
            column=first.column,
            end_line=last.line,
            end_column=last.end_column,
        )
        # A statement answers for its own errors; those between the statements of a body harm none of them.
        claims = name in _STATEMENTS or name in _BODIES
        if claims and self.findings.take_harmful(first.start, last.end) and name in _STATEMENTS:
            return DROPPED
        return self.RULES[name](self, children, span)

    def name(self, token: Token) -> syntax.Name:
        """Return a word as a node."""
        return syntax.Name(text=token.text, span=self.findings.span(token))

    # ---- files and declarations --------------------------------------------------------------------------------------

    def _start(
        self, children: Children, _: Span
    ) -> tuple[syntax.Quantity, tuple[syntax.Item, ...]]:
        version, *items = children
        return version, tuple(_kept(items))

    def _quantity(self, children: Children, span: Span) -> syntax.Quantity:
        number: Token = children[0]
        value = literals.number_value(number.text)
        return syntax.Quantity(
            number=value if isinstance(value, Fraction) else Fraction(0),
            unit=children[1].text if len(children) > 1 else None,
            integral=literals.is_integral(number.text),
            span=span,
        )

    def _import(self, children: Children, span: Span) -> syntax.Import:
        return syntax.Import(
            path=self._string(children, self.findings.span(children[0])), span=span
        )

    def _param(self, children: Children, span: Span) -> syntax.Param:
        name, type_, *default = children
        return syntax.Param(
            name=self.name(name),
            type_=self.name(type_),
            default=default[0] if default else None,
            span=span,
        )

    def _declaration(self, children: Children, span: Span) -> syntax.Declaration:
        kind, name, body = children
        return syntax.Declaration(kind=kind.text, name=self.name(name), body=body, span=span)

    def _body(self, children: Children, span: Span) -> syntax.Body:
        return syntax.Body(entries=tuple(_kept(children)), span=span)

    def _setting(self, children: Children, span: Span) -> syntax.Setting:
        return syntax.Setting(name=self.name(children[0]), value=children[1], span=span)

    def _block(self, children: Children, span: Span) -> syntax.Block:
        return syntax.Block(name=self.name(children[0]), body=children[1], span=span)

    # ---- quantize ----------------------------------------------------------------------------------------------------

    def _head(self, children: Children, span: Span) -> tuple[Children, Span]:
        return children, span

    def _quantize(self, children: Children, span: Span) -> syntax.QuantizeDecl:
        (words, head), statements = children
        model, target, *clauses = words
        named: dict[str, syntax.Name] = {}
        for word, name in zip(clauses[::2], clauses[1::2], strict=True):
            named[word.text] = name if isinstance(name, syntax.Name) else self.name(name)
        return syntax.QuantizeDecl(
            model=model,
            target=target,
            dataset=named.get("with"),
            alias=named.get("as"),
            statements=statements,
            span=span,
            head=head,
        )

    def _statements(self, children: Children, _: Span) -> tuple[Any, ...]:
        return tuple(_kept(children))

    def _word(self, children: Children, _: Span) -> syntax.Name:
        return self.name(children[0])

    def _objective(self, children: Children, span: Span) -> syntax.Objective:
        sense, *goals = children
        return syntax.Objective(sense=sense.text, goals=tuple(goals), span=span)

    def _goal(self, children: Children, span: Span) -> syntax.Goal:
        value, *within = children
        return syntax.Goal(value=value, within=within[0] if within else None, span=span)

    def _layer(self, children: Children, span: Span) -> syntax.LayerBlock:
        return syntax.LayerBlock(selection=children[0], body=children[1], span=span)

    def _emit(self, children: Children, span: Span) -> syntax.Emit:
        return syntax.Emit(names=tuple(map(self.name, children)), body=None, span=span)

    def _emit_with(self, children: Children, span: Span) -> syntax.Emit:
        return syntax.Emit(names=(self.name(children[0]),), body=children[1], span=span)

    # ---- constraints and selectors -----------------------------------------------------------------------------------

    def _subject(self, children: Children, span: Span) -> syntax.Subject:
        return syntax.Subject(constraints=children[0], span=span)

    def _constraint(self, children: Children, span: Span) -> syntax.Constraint:
        name, *each, expression = children
        return syntax.Constraint(
            name=self.name(name), each=each[0] if each else None, expression=expression, span=span
        )

    def _tie(self, children: Children, span: Span) -> syntax.Tie:
        return syntax.Tie(what=self.name(children[0]), selection=children[1], span=span)

    def _selection(self, children: Children, span: Span) -> syntax.Selection:
        return syntax.Selection(
            items=tuple(c for c in children if not isinstance(c, Excluded)),
            excluded=_excluded(children),
            span=span,
        )

    def _excluding(self, children: Children, _: Span) -> Excluded:
        return Excluded(children)

    # ---- expressions -------------------------------------------------------------------------------------------------

    def _binary(self, children: Children, span: Span) -> syntax.Binary:
        left, op, right = children
        return syntax.Binary(op=op.text, left=left, right=right, span=span)

    def _unary(self, children: Children, span: Span) -> syntax.Unary:
        return syntax.Unary(op=children[0].text, operand=children[1], span=span)

    def _chain(self, children: Children, span: Span) -> syntax.Chain:
        return syntax.Chain(
            operands=tuple(children[::2]),
            operators=tuple(o.text for o in children[1::2]),
            span=span,
        )

    def _string(self, children: Children, span: Span) -> syntax.String:
        return syntax.String(value=literals.string_value(children[0].text), span=span)

    def _boolean(self, children: Children, span: Span) -> syntax.Boolean:
        return syntax.Boolean(value=children[0].text == "true", span=span)

    def _list(self, children: Children, span: Span) -> syntax.ListExpr:
        return syntax.ListExpr(items=tuple(children), span=span)

    def _group(self, children: Children, span: Span) -> syntax.Group:
        (inner,) = children
        if not isinstance(inner, syntax.Selection):
            inner = syntax.Selection(items=(inner,), excluded=(), span=inner.span)
        return syntax.Group(selection=inner, span=span)

    def _call(self, children: Children, span: Span) -> syntax.Call:
        where = [c for c in children if isinstance(c, Where)]
        return syntax.Call(
            function=self.name(children[0]),
            arguments=tuple(c for c in children if isinstance(c, syntax.Argument)),
            excluded=_excluded(children),
            where=where[0][0] if where else None,
            span=span,
        )

    def _positional(self, children: Children, span: Span) -> syntax.Argument:
        return syntax.Argument(name=None, value=children[0], span=span)

    def _named(self, children: Children, span: Span) -> syntax.Argument:
        return syntax.Argument(name=self.name(children[0]), value=children[1], span=span)

    def _where(self, children: Children, _: Span) -> Where:
        return Where(children)

    RULES: ClassVar[dict[str, Callable[[Builder, Children, Span], Any]]] = {
        "start": _start,
        "header": _quantity,
        "import": _import,
        "param": _param,
        "declaration": _declaration,
        "body": _body,
        "setting": _setting,
        "block": _block,
        "quantize": _quantize,
        "quantize_head": _head,
        "quantize_body": _statements,
        "objective": _objective,
        "goal": _goal,
        "layer": _layer,
        "emit": _emit,
        "emit_with": _emit_with,
        "word": _word,
        "subject": _subject,
        "constraints": _statements,
        "constraint": _constraint,
        "constraint_each": _constraint,
        "tie": _tie,
        "selection": _selection,
        "excluded": _excluding,
        "binary": _binary,
        "unary": _unary,
        "chain": _chain,
        "quantity": _quantity,
        "string": _string,
        "name": _word,
        "boolean": _boolean,
        "list": _list,
        "group": _group,
        "call": _call,
        "positional": _positional,
        "named": _named,
        "where": _where,
    }


_STATEMENTS = frozenset(
    [
        "import",
        "param",
        "declaration",
        "setting",
        "block",
        "quantize",
        "objective",
        "layer",
        "emit",
        "emit_with",
        "subject",
        "constraint",
        "constraint_each",
    ]
)
_BODIES = frozenset({"body", "quantize_body", "constraints"})


def _kept(children: Children) -> Children:
    return [child for child in children if not isinstance(child, Dropped)]


def _excluded(children: Children) -> tuple[syntax.Expr, ...]:
    return tuple(next((c for c in children if isinstance(c, Excluded)), ()))
