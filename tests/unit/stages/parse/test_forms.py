"""Every form of the language: what parses, and where what does not goes wrong."""

from __future__ import annotations

import pytest

from hawqlang.ir.syntax import (
    Binary,
    Call,
    Chain,
    Constraint,
    Emit,
    Expr,
    Group,
    Name,
    Objective,
    QuantizeDecl,
    Setting,
    Statement,
    Subject,
    Tie,
    Unary,
)
from hawqlang.stages.parse import parse_text


def in_quantize(body: str) -> str:
    return f"hawq 1\nquantize net on box with data {{\n{body}\n}}\n"


def in_subject(constraint: str) -> str:
    return in_quantize(f"subject to {{\nc: {constraint}\n}}")


WORDS = [
    "hawq",
    "import",
    "param",
    "model",
    "dataset",
    "target",
    "quantize",
    "on",
    "with",
    "as",
    "subject",
    "to",
    "minimize",
    "maximize",
    "emit",
    "layer",
    "and",
    "or",
    "not",
    "implies",
    "except",
    "where",
    "across",
    "same",
    "each",
    "of",
    "within",
    "true",
    "false",
    "precision",
    "size",
]

GOOD = [
    "hawq 1",
    "# c\n\nhawq 1",
    "hawq 1 # c",
    "hawq 1\nparam x: size = 6MiB",
    "hawq 1\nparam r: ratio = 1 %",
    "hawq 1\nparam p: precision",
    "hawq 1\nparam b: bool = true",
    'hawq 1\nmodel model { source = onnx("a") }',
    "hawq 1\ndataset with {\n}\n",
    "hawq 1\nmodel m { }\n\n\n",
    "hawq 1\ntarget on {\n device {\n native = [w8a8]\n rates {\n w8a8 = 65 TMACs/s\n }\n}\n}",
    "hawq 1\nquantize on on on with with as as {\n}",
    "hawq 1\nquantize a on b {\n}",
    "hawq 1\nquantize a on nvidia.t4 {\n}",
    'hawq 1\nmodel m {\n source = onnx(\n "a",\n )\n}',
    "hawq 1\nmodel m {\n a = [\n\n1,\n# c\n2,\n]\n}",
    "hawq 1\nmodel m { a = [] }",
    "hawq 1\nmodel m { a = f() }",
    "hawq 1\nmodel m {\n a = 1\n b = 2 }",
    'hawq 1\nimport "a\\u{e9}.hawq"',
    in_quantize("minimize a, b"),
    in_quantize("maximize a"),
    in_quantize("minimize a within 2%, b within 5, c"),
    in_quantize("layer first, last {\n precision = [w8a8]\n}"),
    in_quantize("layer all except first, last { finetune = none }"),
    in_quantize('layer conv and kernel(3, 3) except "stem", channels >= 256 {\n}'),
    in_quantize("emit card, report"),
    in_quantize("emit tvm { cpu = native }"),
    in_quantize("emit c { }\nemit d"),
    in_quantize("finetune = mean_field(levels = [-1, 1], epochs = 3)"),
    in_quantize("weights {\n granularity = group(128)\n}"),
    in_quantize("subject to {\n size: size <= 1 B\n and: bops <= 3GBOPS\n not: macs <= 1 MMACs\n}"),
    in_subject("size <= 1_000 KB"),
    in_subject("latency <= 80% of latency(w8a8)"),
    in_subject("r of latency(w8a8) >= latency"),
    in_subject("size <= size(w4a4) + 25% of (size(w8a8) - size(w4a4))"),
    in_subject("size / size(fp32) <= 12.5%"),
    in_subject('4 <= wbits("a") <= 8'),
    in_subject("precision((first, last) and conv) == w8a8"),
    in_subject("count(all where wbits == 4) >= 10"),
    in_subject('count(conv and "a.*", linear except first where wbits == 4 and abits < 8) == 0'),
    in_subject("same precision across residual"),
    in_subject('same precision across "a", "b" except last'),
    in_subject("wbits(first) == 8 implies same precision across residual"),
    in_subject("(same precision across residual) and size <= 6 KB"),
    in_subject("size <= 6 and same precision across residual"),
    in_subject("a == 1 or b == 2 and not same precision across x, y"),
    in_subject("a == 1 implies b == 2 and ((same precision across x) or c == 3)"),
    in_subject('not (precision(first, last) == w8a8) or abits("x") > 2'),
    in_subject("a == 1 implies b == 2 implies c == 3"),
    in_subject("(\n size <= 6 MiB\n and latency <= 3 ms\n)"),
    in_subject("size <= 6 and channels >= 4"),
    in_subject("each first, last except conv: wbits == 4 implies abits >= 4"),
    in_quantize("subject to {\n" + "\n".join(f"{word}: size <= 1" for word in WORDS) + "\n}"),
    *(f"hawq 1\nparam {word}: int = 1" for word in WORDS),
    *(f"hawq 1\nquantize {w} on {w} with {w} as {w} {{\n}}" for w in WORDS),
    *(f"hawq 1\ntarget x {{\n a = 1\n\n # c\n\n {word} = 2\n}}\n\n" for word in WORDS),
    *(in_quantize(f"emit {word}, {word}") for word in WORDS),
]

BAD = [
    ("hawq 1 model m { }", "HQ124", 1, 8),
    ("hawq 1\nmodle m {\n}", "HQ130", 2, 1),
    ("hawq 1\nmodel m\n{\n}", "HQ123", 3, 1),
    ("hawq 1\nimport 'a'", "HQ103", 2, 8),
    ("hawq 1\nparam x: size = .5 MiB", "HQ106", 2, 17),
    ("hawq 1\nparam x: size = 1. MiB", "HQ106", 2, 17),
    (in_quantize("minimize"), "HQ132", 3, 9),
    (in_quantize("subject {\n}"), "HQ133", 3, 9),
    (in_quantize("a = [w4a4 w8a8]"), "HQ136", 3, 11),
    (in_quantize("a = [1,,2]"), "HQ136", 3, 8),
    (in_quantize("a = [1,\n b = 2"), "HQ120", 3, 5),
    (in_quantize('a = "x\\q"'), "HQ105", 3, 7),
    (in_quantize("a = 1 b = 2"), "HQ124", 3, 7),
    (in_quantize("a = 1; b = 2"), "HQ103", 3, 6),
    (in_quantize("subject to {\n size <= 4\n}"), "HQ134", 4, 7),
    (in_subject("size <="), "HQ132", 4, 11),
    (in_subject("[1 MiB, 2"), "HQ120", 4, 4),
    (in_subject("size <= 6 MiB of x y"), "HQ139", 4, 23),
    (in_subject("x = 3"), "HQ135", 4, 6),
    (in_subject("f(x\n  y)"), "HQ136", 5, 3),
    (in_subject("f(1\n  MiB)"), "HQ136", 5, 3),
    (in_subject("size <= 1, latency <= 2"), "HQ137", 4, 13),
]


@pytest.mark.parametrize("text", GOOD, ids=[f"good{n}" for n in range(len(GOOD))])
def test_every_form_parses(text: str) -> None:
    tree, diagnostics = parse_text(text, "a.hawq")

    assert diagnostics == ()
    assert not tree.partial


@pytest.mark.parametrize(
    ("text", "code", "line", "column"), BAD, ids=[f"bad{n}" for n in range(len(BAD))]
)
def test_what_is_no_form_is_one_error_where_it_goes_wrong(
    text: str, code: str, line: int, column: int
) -> None:
    _, diagnostics = parse_text(text, "a.hawq")

    assert [(d.code, d.span.line, d.span.column) for d in diagnostics if d.span is not None] == [
        (code, line, column)
    ]


# ---- what the forms become -----------------------------------------------------------------------


def quantize(body: str) -> QuantizeDecl:
    tree, diagnostics = parse_text(in_quantize(body), "a.hawq")
    assert diagnostics == ()
    item = tree.items[0]
    assert isinstance(item, QuantizeDecl)
    return item


def statement(body: str) -> Statement:
    return quantize(body).statements[0]


def constraint(text: str) -> Constraint:
    subject = statement(f"subject to {{\nc: {text}\n}}")
    assert isinstance(subject, Subject)
    return subject.constraints[0]


def shape(expr: Expr) -> str:
    """The expression with every operation in brackets."""
    match expr:
        case Binary():
            text = f"[{shape(expr.left)} {expr.op} {shape(expr.right)}]"
        case Unary():
            text = f"[{expr.op} {shape(expr.operand)}]"
        case Chain():
            rest = zip(expr.operators, expr.operands[1:], strict=True)
            text = f"[{shape(expr.operands[0])}{''.join(f' {o} {shape(x)}' for o, x in rest)}]"
        case Group():
            text = f"({', '.join(map(shape, expr.selection.items))})"
        case Tie():
            text = f"[same {', '.join(map(shape, expr.selection.items))}]"
        case Name():
            text = expr.text
        case _:
            text = "1"
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a implies b implies c", "[a implies [b implies c]]"),
        ("a or b and c or d", "[[a or [b and c]] or d]"),
        ("not a and not not b", "[[not a] and [not [not b]]]"),
        ("not a == b", "[not [a == b]]"),
        ("a <= b < c", "[a <= b < c]"),
        ("(a <= b) < c", "[([a <= b]) < c]"),
        ("a - b - c + d", "[[[a - b] - c] + d]"),
        ("a / b * c", "[[a / b] * c]"),
        ("1% of a * b", "[[1 of a] * b]"),
        ("a of b of c", "[a of [b of c]]"),
        ("-a of --b", "[[- a] of [- [- b]]]"),
        ("a or same p across b, c", "[a or [same b, c]]"),
        ("a and same p across b and c", "[a and [same [b and c]]]"),
        ("not same p across b implies c", "[not [same [b implies c]]]"),
    ],
)
def test_operators_bind_as_the_reference_says(text: str, expected: str) -> None:
    assert shape(constraint(text).expression) == expected


def test_except_takes_away_everything_that_follows() -> None:
    each = constraint("each a, b and c except d, e: wbits == 4").each

    assert each is not None
    assert list(map(shape, each.items)) == ["a", "[b and c]"]
    assert list(map(shape, each.excluded)) == ["d", "e"]


def test_a_call_keeps_arguments_exclusions_and_condition() -> None:
    call = constraint("count(a, name = b except c, d where e == f)").expression

    assert isinstance(call, Call)
    assert [(a.name and a.name.text, shape(a.value)) for a in call.arguments] == [
        (None, "a"),
        ("name", "b"),
    ]
    assert list(map(shape, call.excluded)) == ["c", "d"]
    assert call.where is not None
    assert shape(call.where) == "[e == f]"


def test_a_quantize_block_keeps_its_names_and_the_place_of_its_head() -> None:
    tree, _ = parse_text("hawq 1\nquantize a on b with c as d {\n}\n", "a.hawq")
    item = tree.items[0]

    assert isinstance(item, QuantizeDecl)
    assert item.dataset is not None
    assert item.alias is not None
    assert [n.text for n in (item.model, item.target, item.dataset, item.alias)] == list("abcd")
    assert (item.head.line, item.head.column, item.head.end_column) == (2, 1, 28)
    assert (item.span.line, item.span.end_line, item.span.end_column) == (2, 3, 2)


def test_goals_keep_their_order_and_tolerances() -> None:
    objective = statement("maximize a within 2%, b")

    assert isinstance(objective, Objective)
    assert objective.sense == "maximize"
    assert [(shape(g.value), g.within and g.within.number) for g in objective.goals] == [
        ("a", 2),
        ("b", None),
    ]


def test_emit_takes_several_names_or_one_with_options() -> None:
    plain, cuda = quantize("emit card, report\nemit cuda { arch = [sm_80] }").statements

    assert isinstance(plain, Emit)
    assert isinstance(cuda, Emit)
    assert ([n.text for n in plain.names], plain.body) == (["card", "report"], None)
    assert cuda.body is not None
    assert [n.text for n in cuda.names] == ["cuda"]


def test_spans_enclose_what_was_written() -> None:
    setting = statement("range = percentile(99.99%)")

    assert isinstance(setting, Setting)
    assert (setting.span.column, setting.span.end_column) == (1, 27)
    assert (setting.value.span.column, setting.value.span.end_column) == (9, 27)
