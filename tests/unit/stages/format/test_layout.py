"""The one layout of specs, by example."""

from __future__ import annotations

import pytest

from hawqlang.stages.format import format_bytes, format_text

HEAD = "hawq 1\n\n"


def formatted(text: str) -> str:
    result = format_text(text, "a.hawq")
    assert result.diagnostics == ()
    assert result.text is not None
    return result.text


def inside(body: str) -> str:
    """What becomes of the lines of a quantize block, two columns less."""
    whole = formatted(f"hawq 1\nquantize a on b {{\n{body}\n}}\n")
    lines = whole.removeprefix(f"{HEAD}quantize a on b {{\n").removesuffix("}\n").splitlines()
    return "\n".join(line.removeprefix("  ") for line in lines)


def test_settings_stand_in_columns_like_a_data_sheet() -> None:
    text = "hawq 1\nmodel a{\nsource=onnx( 'x' )\n}".replace("'", '"')
    assert formatted(text) == f'{HEAD}model a {{\n  source = onnx("x")\n}}\n'
    assert inside("precision=[w4a4,w8a8,]\nseed   = 1") == "precision = [w4a4, w8a8]\nseed      = 1"


def test_constraints_and_params_stand_in_columns_too() -> None:
    assert inside("subject to{\na:size<=1MiB\nlonger:macs<=- 2MACs\n}") == (
        "subject to {\n  a:      size <= 1 MiB\n  longer: macs <= -2 MACs\n}"
    )
    assert formatted("hawq 1\nparam a:size=1MiB\nparam bc : ratio\nparam d:int=2") == (
        f"{HEAD}param a:  size = 1 MiB\nparam bc: ratio\nparam d:  int  = 2\n"
    )


def test_an_empty_line_and_a_block_end_the_columns_and_a_comment_does_not() -> None:
    body = "a = 1\n# about b\nlong = 2\n\n\n\nc = 3\nblock { }\nlonger = 4\nd = 5"
    assert inside(body) == (
        "a    = 1\n# about b\nlong = 2\n\nc = 3\nblock { }\nlonger = 4\nd      = 5"
    )


def test_comments_behind_consecutive_lines_stand_in_a_column() -> None:
    body = "a = 1# one\nlong = 22   # two\nc = 3\nd = 4 # three"
    assert inside(body) == "a    = 1   # one\nlong = 22  # two\nc    = 3\nd    = 4  # three"


def test_blocks_at_the_top_are_set_apart_with_the_comments_above_them() -> None:
    text = "hawq 1\nparam a: int\n# about b\ntarget b {\n  c = 1\n}\ntarget d { c = 1 }\ntarget e { c = 2 }"
    assert formatted(text) == (
        f"{HEAD}param a: int\n\n# about b\ntarget b {{\n  c = 1\n}}\n\n"
        "target d { c = 1 }\ntarget e { c = 2 }\n"
    )


def test_comments_stay_where_they_were() -> None:
    text = (
        "# before\nhawq 1   # behind the header\n\n# a group\n\n# right above\n"
        "target b {   # behind the brace\n\n  # first\n  c = 1\n\n  # last\n\n} # behind the block\n# end"
    )
    assert formatted(text) == (
        "# before\nhawq 1  # behind the header\n\n# a group\n\n# right above\n"
        "target b {  # behind the brace\n  # first\n  c = 1\n\n  # last\n}  # behind the block\n\n# end\n"
    )


def test_a_long_call_is_broken_at_its_arguments() -> None:
    long = ", ".join(f'"{"x" * 20}{n}"' for n in range(6))
    assert inside(f"a = 1\nb = f({long}, last = 2)") == (
        "a = 1\nb = f(\n" + "".join(f'  "{"x" * 20}{n}",\n' for n in range(6)) + "  last = 2,\n)"
    )


def test_a_long_constraint_is_broken_at_its_loosest_operator() -> None:
    one = 'size("' + "x" * 50 + '") <= 1 MiB'
    assert inside(f"subject to {{\na: (not {one} and {one} or {one})\n}}") == (
        f"subject to {{\n  a: (\n    not {one}\n      and {one}\n    or {one}\n  )\n}}"
    )


def test_a_long_selector_is_broken_at_commas_and_clauses() -> None:
    names = ", ".join(f'"{"y" * 30}{n}"' for n in range(3))
    assert inside(f"subject to {{\na: count({names} except first where wbits == 4) >= 1\n}}") == (
        "subject to {\n  a: count(\n"
        + "".join(f'    "{"y" * 30}{n}"{"," if n < 2 else ""}\n' for n in range(3))
        + "    except first\n    where wbits == 4\n  ) >= 1\n}"
    )


def test_what_fits_on_one_line_goes_on_one_line() -> None:
    assert inside("a = [\n  1,\n  2,\n]\nb = f(\n\n1)") == "a = [1, 2]\nb = f(1)"


def test_a_statement_with_comments_inside_keeps_its_lines() -> None:
    body = "a = [\n1,# one\n\n# two\n  2,\n]\nb = 1"
    assert inside(body) == "a = [\n  1,  # one\n\n  # two\n  2,\n]\nb = 1"


@pytest.mark.parametrize("text", ["emit tvm { cpu = native }", "rates { }", "a { b { c = 1 } }"])
def test_a_block_on_one_line_stays_there(text: str) -> None:
    assert inside(text.replace(" ", "   ")) == text


def test_a_block_that_no_longer_fits_on_one_line_is_opened() -> None:
    assert inside(f'emit tvm {{ cpu = "{"z" * 120}" }}') == (
        f'emit tvm {{\n  cpu = "{"z" * 120}"\n}}'
    )


def test_a_line_that_a_comment_silences_is_never_broken_or_joined() -> None:
    long = f'a = ["{"x" * 70}", "{"y" * 70}"]  # hawq: ignore[HQ214]'
    broken = "a = [\n  1,\n  2,\n]  # hawq: ignore[HQ214]"
    above = f'# hawq: ignore[HQ214]\nemit tvm {{ cpu = "{"z" * 120}" }}'
    for text in (long, broken, above):
        assert inside(text) == text


def test_literals_stay_as_they_were_written() -> None:
    assert inside(r'a = [1_000, 1e-3, 0.50, 99.99%, 6MiB, 320GB/s, "\u{e9}\n"]') == (
        r'a = [1_000, 1e-3, 0.50, 99.99%, 6 MiB, 320 GB/s, "\u{e9}\n"]'
    )


def test_minus_signs_of_one_operand_stand_close() -> None:
    assert inside("a = - 1-(- x)- -y") == "a = -1 - (-x) - -y"


def test_words_before_a_bracket_are_calls_or_operators() -> None:
    assert inside("subject to {\na: not(b (c))and(d)or(e)\n}") == (
        "subject to {\n  a: not (b(c)) and (d) or (e)\n}"
    )


def test_lines_end_as_the_first_one_does_and_a_mark_is_dropped() -> None:
    assert formatted("\ufeffhawq 1\r\nparam a: t\n") == "hawq 1\r\n\r\nparam a: t\r\n"


def test_white_space_at_the_ends_goes() -> None:
    assert formatted("\n\n  hawq   1  \t\n\n\n") == "hawq 1\n"


def test_a_text_with_syntax_errors_has_no_layout() -> None:
    result = format_text("hawq 1\ntarget a {\n", "a.hawq")

    assert result.text is None
    assert [d.code for d in result.diagnostics] == ["HQ121"]


def test_bytes_that_are_no_text_have_no_layout() -> None:
    result = format_bytes(b"hawq 1\n# \xe9\n", "a.hawq")

    assert result.text is None
    assert [d.code for d in result.diagnostics] == ["HQ101"]


def test_a_warning_does_not_keep_a_text_from_its_layout() -> None:
    assert formatted("hawq 1\n#hawq: what\n") == f"{HEAD}#hawq: what\n"
