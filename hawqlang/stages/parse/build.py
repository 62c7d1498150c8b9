"""What each rule of the grammar becomes: children → node of the syntax tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from hawqlang.base import Span
from hawqlang.ir import syntax
from hawqlang.stages.parse.literals import is_integral, number_value, string_value
from hawqlang.stages.parse.tokens import Findings, Token

Children: TypeAlias = list[Any]
"""Tokens and values of other rules; the grammar says which."""


class Dropped:
    """Stands where a statement with an error was."""


class Excluded(tuple[syntax.Expr, ...]):
    """What ``except`` takes away."""

    __slots__ = ()


class Where(tuple[syntax.Expr]):
    """The condition behind ``where``."""

    __slots__ = ()


class Builder:
    """Makes the nodes of one file; statements that hold an unrepaired error are left out."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self._rules: Mapping[str, Callable[[Children, Span], Any]] = {
            "start": self._start,
            "header": self._quantity,
            "import": self._import,
            "param": self._param,
            "declaration": self._declaration,
            "body": self._body,
            "setting": self._setting,
            "block": self._block,
            "quantize": self._quantize,
            "quantize_head": self._head,
            "quantize_body": self._statements,
            "objective": self._objective,
            "goal": self._goal,
            "layer": self._layer,
            "emit": self._emit,
            "emit_with": self._emit_with,
            "word": self._word,
            "subject": self._subject,
            "constraints": self._statements,
            "constraint": self._constraint,
            "constraint_each": self._constraint,
            "tie": self._tie,
            "selection": self._selection,
            "excluded": self._except,
            "binary": self._binary,
            "unary": self._unary,
            "chain": self._chain,
            "quantity": self._quantity,
            "string": self._string,
            "name": self._word,
            "boolean": self._boolean,
            "list": self._list,
            "group": self._group,
            "call": self._call,
            "positional": self._positional,
            "named": self._named,
            "where": self._where,
        }

    def reduce(self, name: str, children: Children, first: Token, last: Token) -> Any:
        """Return the value of a rule's children."""
        # A statement answers for its own errors; those between statements harm none of them.
        if name in _BODIES:
            self.findings.take_harmful(first.end, last.end)
        elif name in _STATEMENTS and self.findings.take_harmful(first.start, last.end):
            return Dropped()
        span = Span(
            file=self.file,
            line=first.line,
            column=first.column,
            end_line=last.line,
            end_column=last.end_column,
        )
        return self._rules[name](children, span)

    def _name_of(self, token: Token) -> syntax.Name:
        return syntax.Name(text=token.text, span=self.findings.span(token))

    # ---- files and declarations ------------------------------------------------------------------

    def _start(
        self, children: Children, _: Span
    ) -> tuple[syntax.Quantity, tuple[syntax.Item, ...]]:
        version, *items = children
        return version, tuple(_kept(items))

    def _import(self, children: Children, span: Span) -> syntax.Import:
        path = self._string(children, self.findings.span(children[0]))
        return syntax.Import(path=path, span=span)

    def _param(self, children: Children, span: Span) -> syntax.Param:
        name, type_, *default = children
        return syntax.Param(
            name=self._name_of(name),
            type_=self._name_of(type_),
            default=default[0] if default else None,
            span=span,
        )

    def _declaration(self, children: Children, span: Span) -> syntax.Declaration:
        kind, name, body = children
        return syntax.Declaration(kind=kind.text, name=self._name_of(name), body=body, span=span)

    def _body(self, children: Children, span: Span) -> syntax.Body:
        return syntax.Body(entries=tuple(_kept(children)), span=span)

    def _setting(self, children: Children, span: Span) -> syntax.Setting:
        return syntax.Setting(name=self._name_of(children[0]), value=children[1], span=span)

    def _block(self, children: Children, span: Span) -> syntax.Block:
        return syntax.Block(name=self._name_of(children[0]), body=children[1], span=span)

    # ---- quantize --------------------------------------------------------------------------------

    def _head(self, children: Children, span: Span) -> tuple[Children, Span]:
        return children, span

    def _quantize(self, children: Children, span: Span) -> syntax.QuantizeDecl:
        (words, head), statements = children
        model, target, *clauses = words
        named: dict[str, syntax.Name] = {}
        for word, name in zip(clauses[::2], clauses[1::2], strict=True):
            named[word.text] = name if isinstance(name, syntax.Name) else self._name_of(name)
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
        return self._name_of(children[0])

    def _objective(self, children: Children, span: Span) -> syntax.Objective:
        sense, *goals = children
        return syntax.Objective(sense=sense.text, goals=tuple(goals), span=span)

    def _goal(self, children: Children, span: Span) -> syntax.Goal:
        value, *within = children
        return syntax.Goal(value=value, within=within[0] if within else None, span=span)

    def _layer(self, children: Children, span: Span) -> syntax.LayerBlock:
        return syntax.LayerBlock(selection=children[0], body=children[1], span=span)

    def _emit(self, children: Children, span: Span) -> syntax.Emit:
        return syntax.Emit(names=tuple(map(self._name_of, children)), body=None, span=span)

    def _emit_with(self, children: Children, span: Span) -> syntax.Emit:
        return syntax.Emit(names=(self._name_of(children[0]),), body=children[1], span=span)

    # ---- constraints and selectors ---------------------------------------------------------------

    def _subject(self, children: Children, span: Span) -> syntax.Subject:
        return syntax.Subject(constraints=children[0], span=span)

    def _constraint(self, children: Children, span: Span) -> syntax.Constraint:
        name, *each, expression = children
        return syntax.Constraint(
            name=self._name_of(name),
            each=each[0] if each else None,
            expression=expression,
            span=span,
        )

    def _tie(self, children: Children, span: Span) -> syntax.Tie:
        return syntax.Tie(what=self._name_of(children[0]), selection=children[1], span=span)

    def _selection(self, children: Children, span: Span) -> syntax.Selection:
        items = tuple(child for child in children if not isinstance(child, Excluded))
        return syntax.Selection(items=items, excluded=_excluded(children), span=span)

    def _except(self, children: Children, _: Span) -> Excluded:
        return Excluded(children)

    # ---- expressions -----------------------------------------------------------------------------

    def _binary(self, children: Children, span: Span) -> syntax.Binary:
        left, op, right = children
        return syntax.Binary(op=op.text, left=left, right=right, span=span)

    def _unary(self, children: Children, span: Span) -> syntax.Unary:
        return syntax.Unary(op=children[0].text, operand=children[1], span=span)

    def _chain(self, children: Children, span: Span) -> syntax.Chain:
        return syntax.Chain(
            operands=tuple(children[::2]),
            operators=tuple(operator.text for operator in children[1::2]),
            span=span,
        )

    def _quantity(self, children: Children, span: Span) -> syntax.Quantity:
        number: Token = children[0]
        value = number_value(number.text)
        return syntax.Quantity(
            number=value if isinstance(value, Fraction) else Fraction(0),
            unit=children[1].text if len(children) > 1 else None,
            integral=is_integral(number.text),
            span=span,
        )

    def _string(self, children: Children, span: Span) -> syntax.String:
        return syntax.String(value=string_value(children[0].text), span=span)

    def _boolean(self, children: Children, span: Span) -> syntax.Boolean:
        return syntax.Boolean(value=children[0].text == "true", span=span)

    def _list(self, children: Children, span: Span) -> syntax.ListExpr:
        return syntax.ListExpr(items=tuple(children), span=span)

    def _group(self, children: Children, span: Span) -> syntax.Group:
        inner = children[0]
        if not isinstance(inner, syntax.Selection):
            inner = syntax.Selection(items=(inner,), excluded=(), span=inner.span)
        return syntax.Group(selection=inner, span=span)

    def _call(self, children: Children, span: Span) -> syntax.Call:
        where = next((child[0] for child in children if isinstance(child, Where)), None)
        return syntax.Call(
            function=self._name_of(children[0]),
            arguments=tuple(c for c in children if isinstance(c, syntax.Argument)),
            excluded=_excluded(children),
            where=where,
            span=span,
        )

    def _positional(self, children: Children, span: Span) -> syntax.Argument:
        return syntax.Argument(name=None, value=children[0], span=span)

    def _named(self, children: Children, span: Span) -> syntax.Argument:
        return syntax.Argument(name=self._name_of(children[0]), value=children[1], span=span)

    def _where(self, children: Children, _: Span) -> Where:
        return Where(children)


_STATEMENTS = frozenset(
    {
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
    }
)
_BODIES = frozenset({"body", "quantize_body", "constraints"})


def _kept(children: Children) -> Children:
    return [child for child in children if not isinstance(child, Dropped)]


def _excluded(children: Children) -> tuple[syntax.Expr, ...]:
    return tuple(next((c for c in children if isinstance(c, Excluded)), ()))
