"""The canonical text of a syntax tree: parsing it gives the same tree, but for the spans.

Comments are not part of the tree; the one layout is two blanks a level, ``=`` and ``:`` lined up
within a run of one-line statements, and an empty line around blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import groupby
from typing import TypeAlias, assert_never

from hawqlang.ir.syntax import (
    Argument,
    Binary,
    Block,
    Body,
    Boolean,
    Call,
    Chain,
    Constraint,
    Declaration,
    Emit,
    Expr,
    Goal,
    Group,
    Import,
    Item,
    LayerBlock,
    ListExpr,
    Name,
    Objective,
    Param,
    Quantity,
    QuantizeDecl,
    Selection,
    Setting,
    Statement,
    String,
    Subject,
    SyntaxTree,
    Tie,
    Unary,
)

_BINARY = {"implies": 1, "or": 2, "and": 3, "+": 6, "-": 6, "*": 7, "/": 7, "of": 8}
_NOT, _CHAIN, _MINUS, _PRIMARY = 4, 5, 9, 10
_RIGHT_TO_LEFT = frozenset({"implies", "of"})


def print_tree(tree: SyntaxTree) -> str:
    """Return the canonical text of a file, a newline at its end."""
    parts = [f"hawq {_number(tree.version)}"]
    for kind, items in groupby(tree.items, key=lambda item: isinstance(item, Import | Param)):
        printed = list(map(print_item, items))
        parts += ["\n".join(printed)] if kind else printed
    return "\n\n".join(parts) + "\n"


def print_item(item: Item) -> str:
    """Return the text of one item of a file."""
    match item:
        case Import():
            return f"import {_string(item.path)}"
        case Param():
            default = "" if item.default is None else f" = {print_expr(item.default)}"
            return f"param {item.name.text}: {item.type_.text}{default}"
        case Declaration():
            return f"{item.kind} {item.name.text} {_body(item.body)}"
        case QuantizeDecl():
            return f"{_head(item)} {_block(list(map(_statement, item.statements)))}"
        case _:
            assert_never(item)


def _head(item: QuantizeDecl) -> str:
    with_ = "" if item.dataset is None else f" with {item.dataset.text}"
    as_ = "" if item.alias is None else f" as {item.alias.text}"
    return f"quantize {item.model.text} on {item.target.text}{with_}{as_}"


# ---- statements ----------------------------------------------------------------------------------


Line: TypeAlias = tuple[str, str, str]
"""What stands left of the sign, the sign (empty for none), and what stands right of it."""


def _block(lines: Sequence[Line]) -> str:
    """Return lines in braces, the signs of neighbours lined up, blocks set apart."""
    if not lines:
        return "{ }"
    printed: list[str] = []
    for sign, group in groupby(lines, key=lambda line: line[1]):
        run = list(group)
        width = max(len(left) for left, _, _ in run) if sign else 0
        printed += [_joined(left, sign, right, width) for left, _, right in run]
    text = ""
    for number, line in enumerate(printed):
        apart = number and ("\n" in line or "\n" in printed[number - 1])
        text += f"\n{line}\n" if apart else f"{line}\n"
    return "{\n" + _indented(text) + "}"


def _joined(left: str, sign: str, right: str, width: int) -> str:
    match sign:
        case "=":
            return f"{left:<{width}} = {right}"
        case ":":
            return f"{f'{left}:':<{width + 1}} {right}"
        case _:
            return left


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


def _body(body: Body) -> str:
    return _block([_entry(entry) for entry in body.entries])


def _entry(entry: Setting | Block) -> Line:
    match entry:
        case Setting():
            return entry.name.text, "=", print_expr(entry.value)
        case Block():
            return f"{entry.name.text} {_body(entry.body)}", "", ""
        case _:
            assert_never(entry)


def _statement(statement: Statement) -> Line:
    match statement:
        case Setting() | Block():
            return _entry(statement)
        case Objective():
            return f"{statement.sense} {', '.join(map(_goal, statement.goals))}", "", ""
        case Subject():
            return f"subject to {_block(list(map(_constraint, statement.constraints)))}", "", ""
        case LayerBlock():
            return f"layer {print_selection(statement.selection)} {_body(statement.body)}", "", ""
        case Emit():
            names = ", ".join(name.text for name in statement.names)
            body = "" if statement.body is None else f" {_body(statement.body)}"
            return f"emit {names}{body}", "", ""
        case _:
            assert_never(statement)


def _goal(goal: Goal) -> str:
    within = "" if goal.within is None else f" within {print_expr(goal.within)}"
    return print_expr(goal.value) + within


def _constraint(constraint: Constraint) -> Line:
    each = "" if constraint.each is None else f"each {print_selection(constraint.each)}: "
    return constraint.name.text, ":", each + print_expr(constraint.expression)


# ---- expressions ---------------------------------------------------------------------------------


def print_selection(selection: Selection) -> str:
    """Return the text of a selector without parentheses around it."""
    items = ", ".join(map(print_expr, selection.items))
    return items + _except(selection.excluded)


def print_expr(expr: Expr) -> str:
    """Return the text of an expression on one line.

    Parentheses stand where the tree has a ``Group``, and where it needs one to be read as it is.
    """
    match expr:
        case Quantity() | String() | Boolean() | Name():
            return _atom(expr)
        case ListExpr() | Call() | Group():
            return _bracketed(expr)
        case Binary() | Unary() | Chain() | Tie():
            return _operation(expr)
        case _:
            assert_never(expr)


def _atom(expr: Quantity | String | Boolean | Name) -> str:
    match expr:
        case Quantity():
            return _quantity(expr)
        case String():
            return _string(expr)
        case Boolean():
            return "true" if expr.value else "false"
        case Name():
            return expr.text
        case _:
            assert_never(expr)


def _bracketed(expr: ListExpr | Call | Group) -> str:
    match expr:
        case ListExpr():
            return f"[{', '.join(map(print_expr, expr.items))}]"
        case Call():
            return _call(expr)
        case Group():
            return f"({print_selection(expr.selection)})"
        case _:
            assert_never(expr)


def _operation(expr: Binary | Unary | Chain | Tie) -> str:
    match expr:
        case Binary():
            return _binary(expr)
        case Unary():
            sign, own = ("not ", _NOT) if expr.op == "not" else ("-", _MINUS)
            return sign + _operand(expr.operand, own)
        case Chain():
            return _chain(expr)
        case Tie():
            return f"same {expr.what.text} across {print_selection(expr.selection)}"
        case _:
            assert_never(expr)


def _binary(expr: Binary) -> str:
    own = _BINARY[expr.op]
    to_the_right = expr.op in _RIGHT_TO_LEFT
    left = _operand(expr.left, own + 1 if to_the_right else own, last=False)
    right = _operand(expr.right, own if to_the_right else own + 1)
    return f"{left} {expr.op} {right}"


def _chain(expr: Chain) -> str:
    text = _operand(expr.operands[0], _CHAIN + 1, last=False)
    for operator, operand in zip(expr.operators, expr.operands[1:], strict=True):
        text += f" {operator} {_operand(operand, _CHAIN + 1)}"
    return text


def _operand(expr: Expr, level: int, *, last: bool = True) -> str:
    """Return an operand, in parentheses where it binds looser than ``level``.

    A tie takes everything to its right, so it stands bare only as the last operand of a logical
    operator.
    """
    text = print_expr(expr)
    if isinstance(expr, Tie) and last and level <= _NOT:
        return text
    if not last and _ends_in_tie(expr):
        return f"({text})"
    return text if _level(expr) >= level else f"({text})"


def _ends_in_tie(expr: Expr) -> bool:
    while True:
        match expr:
            case Tie():
                return True
            case Binary():
                expr = expr.right
            case Unary():
                expr = expr.operand
            case _:
                return False


def _level(expr: Expr) -> int:
    match expr:
        case Binary():
            return _BINARY[expr.op]
        case Unary():
            return _NOT if expr.op == "not" else _MINUS
        case Chain():
            return _CHAIN
        case Tie():
            return 0
        case _:
            return _PRIMARY


def _call(call: Call) -> str:
    inner = ", ".join(map(_argument, call.arguments)) + _except(call.excluded)
    where = "" if call.where is None else f" where {print_expr(call.where)}"
    return f"{call.function.text}({inner}{where})"


def _argument(argument: Argument) -> str:
    name = "" if argument.name is None else f"{argument.name.text} = "
    return name + print_expr(argument.value)


def _except(excluded: Iterable[Expr]) -> str:
    listed = ", ".join(map(print_expr, excluded))
    return f" except {listed}" if listed else ""


# ---- literals ------------------------------------------------------------------------------------


def _quantity(quantity: Quantity) -> str:
    number = _number(quantity)
    match quantity.unit:
        case None:
            return number
        case "%":
            return f"{number}%"
        case unit:
            return f"{number} {unit}"


def _number(quantity: Quantity) -> str:
    """Return an exact number in decimal: an integer, with a point, or with an exponent."""
    number = quantity.number
    if quantity.integral:
        return str(number.numerator)
    digits, power = _decimal(number)
    if 0 < len(digits) + power <= 21 and power <= 0:
        whole, decimals = digits[: len(digits) + power], digits[len(digits) + power :]
        return f"{whole}.{decimals or '0'}"
    if -6 < len(digits) + power <= 0:
        return f"0.{'0' * -(len(digits) + power)}{digits}"
    return f"{digits}e{power}"


def _decimal(number: Fraction) -> tuple[str, int]:
    """Return digits and power of ten with ``number == digits · 10^power``."""
    numerator, denominator = number.numerator, number.denominator
    twos = fives = 0
    while denominator % 2 == 0:
        denominator //= 2
        twos += 1
    while denominator % 5 == 0:
        denominator //= 5
        fives += 1
    places = max(twos, fives)
    digits = str(numerator * 2 ** (places - twos) * 5 ** (places - fives) // denominator)
    stripped = digits.rstrip("0") or "0"
    return stripped, len(digits) - len(stripped) - places


def _string(string: String) -> str:
    return '"' + "".join(map(_escaped, string.value)) + '"'


def _escaped(character: str) -> str:
    match character:
        case '"' | "\\":
            return f"\\{character}"
        case "\n":
            return "\\n"
        case "\t":
            return "\\t"
        case _:
            return character if character.isprintable() else f"\\u{{{ord(character):X}}}"
