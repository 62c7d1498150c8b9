"""The canonical text of a syntax tree."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.base import NOWHERE
from hawqlang.ir.printer_syntax import print_expr, print_tree
from hawqlang.ir.syntax import Binary, Chain, Expr, Name, Quantity, Selection, Tie, Unary
from hawqlang.stages.parse import parse_text


def printed(text: str) -> str:
    tree, diagnostics = parse_text(text, "a.hawq")
    assert diagnostics == ()
    return print_tree(tree)


def test_one_layout_for_every_way_to_write_a_file() -> None:
    assert printed(
        '# c\nhawq 01 # c\nimport   "a.hawq"\nparam x:size=6MiB # c\nparam long : string\n'
        "model m{source=onnx( 'a' )}".replace("'", '"')
        + "\ntarget t{\nbatch=1_0\ndevice{native=[w8a8,]\nrates{w8a8=65 TMACs/s\n}\n}\nx=1}\n"
        "quantize m on t with d as n {\nprecision=[ w4a4 ]\nminimize a within 2 %,b\n"
        "subject to{\na:size<=1\nlong:each conv,linear except first:wbits==4\n}\n"
        "layer first{precision=w8a8\n}\nemit c,card\nemit cuda{ }\n}\n"
    ) == (
        "hawq 1\n"
        "\n"
        'import "a.hawq"\n'
        "param x: size = 6 MiB\n"
        "param long: string\n"
        "\n"
        "model m {\n"
        '  source = onnx("a")\n'
        "}\n"
        "\n"
        "target t {\n"
        "  batch = 10\n"
        "\n"
        "  device {\n"
        "    native = [w8a8]\n"
        "\n"
        "    rates {\n"
        "      w8a8 = 65 TMACs/s\n"
        "    }\n"
        "  }\n"
        "\n"
        "  x = 1\n"
        "}\n"
        "\n"
        "quantize m on t with d as n {\n"
        "  precision = [w4a4]\n"
        "  minimize a within 2%, b\n"
        "\n"
        "  subject to {\n"
        "    a:    size <= 1\n"
        "    long: each conv, linear except first: wbits == 4\n"
        "  }\n"
        "\n"
        "  layer first {\n"
        "    precision = w8a8\n"
        "  }\n"
        "\n"
        "  emit c, card\n"
        "  emit cuda { }\n"
        "}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.0",
        "1.0",
        "0.1",
        "12.5%",
        "0.00001",
        "1e-7",
        "5e3",
        "1e300 MiB",
        "123456789.000000001",
        '"a\\"\\\\\\n\\t\\u{0}\\u{202E}é"',
        "-a - -b",
        "not (not a and b) or c",
        "a of b of c * d / e",
        "(a + b) * -c",
        "a < (b < c) == d",
        "f(a, b = [1, [], 2%], c except d, e where g)",
        "(a, b except c)",
    ],
)
def test_what_is_canonical_stays_as_it_is(text: str) -> None:
    assert printed(f"hawq 1\nparam p: t = {text}") == f"hawq 1\n\nparam p: t = {text}\n"


A, B, C = (Name(text=text, span=NOWHERE) for text in "abc")


def binary(op: str, left: Expr, right: Expr) -> Expr:
    return Binary.model_validate({"op": op, "left": left, "right": right, "span": NOWHERE})


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (binary("*", binary("+", A, B), C), "(a + b) * c"),
        (binary("-", A, binary("-", B, C)), "a - (b - c)"),
        (binary("of", binary("of", A, B), C), "(a of b) of c"),
        (binary("implies", binary("implies", A, B), C), "(a implies b) implies c"),
        (Unary(op="-", operand=binary("+", A, B), span=NOWHERE), "-(a + b)"),
        (
            Chain(
                operands=(Unary(op="not", operand=A, span=NOWHERE), B),
                operators=("==",),
                span=NOWHERE,
            ),
            "(not a) == b",
        ),
    ],
)
def test_a_tree_without_parentheses_gets_those_it_needs(expr: Expr, text: str) -> None:
    assert print_expr(expr) == text


def test_a_tie_stands_last_or_in_parentheses() -> None:
    selection = Selection(items=(A,), excluded=(), span=NOWHERE)
    tie = Tie(what=Name(text="precision", span=NOWHERE), selection=selection, span=NOWHERE)
    negated = Unary(op="not", operand=tie, span=NOWHERE)

    assert print_expr(binary("and", B, tie)) == "b and same precision across a"
    assert print_expr(binary("and", tie, B)) == "(same precision across a) and b"
    assert print_expr(binary("or", negated, B)) == "(not same precision across a) or b"


def test_an_integer_made_by_the_compiler_is_printed_in_full() -> None:
    quantity = Quantity(number=Fraction(10**6), unit="B", integral=True, span=NOWHERE)

    assert print_expr(quantity) == "1000000 B"
