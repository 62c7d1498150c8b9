"""Where a position is, told from tokens alone."""

from __future__ import annotations

import pytest

from hawqlang.stages.parse.place import Place, lex, place_at

SPEC = """\
hawq 1
# a comment
quantize net on box {
  weights {
    range = percentile(99%, [1,
      2])
  }
  layer "a*" { precision = w8a8 }
}
"""


def _at(text: str, needle: str, inside: int = 0) -> Place:
    return place_at(lex(text), text.index(needle) + inside)


def _words(place: Place) -> list[str]:
    return [token.text for token in place.before]


@pytest.mark.parametrize(
    ("needle", "inside", "heads", "before", "token"),
    [
        ("quantize", 3, [], [], "quantize"),
        ("box", 3, [], ["quantize", "net", "on"], "box"),
        ("weights", 0, ["quantize net on box"], [], "weights"),
        ("range", 5, ["quantize net on box", "weights"], [], "range"),
        ("= perc", 1, ["quantize net on box", "weights"], ["range", "="], None),
        (
            "2]",
            0,
            ["quantize net on box", "weights"],
            ["range", "=", "percentile", "(", "99", "%", ",", "[", "1", ","],
            "2",
        ),
        ("w8a8", 2, ["quantize net on box", 'layer "a*"'], ["precision", "="], "w8a8"),
        ('"a*"', 2, ["quantize net on box"], ["layer"], '"a*"'),
    ],
)
def test_a_place_knows_its_blocks_and_statement(
    needle: str, inside: int, heads: list[str], before: list[str], token: str | None
) -> None:
    place = _at(SPEC, needle, inside)

    assert [" ".join(one.text for one in head) for head in place.heads] == heads
    assert [text for text in _words(place) if text != "\n"] == before
    assert (place.token.text if place.token else None) == token


def test_open_brackets_are_counted() -> None:
    place = _at(SPEC, "2]")

    assert [place.before[n].text for n in place.opened] == ["(", "["]


def test_a_comment_is_one() -> None:
    assert _at(SPEC, "comment").comment
    assert not _at(SPEC, "net").comment


def test_a_bracket_that_was_never_closed_ends_before_the_next_statement() -> None:
    text = "hawq 1\nquantize a on b {\n  precision = [w4a4,\n  subject to {\n"

    assert _words(_at(text, "to {")) == ["subject"]


def test_what_is_no_token_is_left_out() -> None:
    place = _at("hawq 1\nmodel \u2028 net ; {", "net", 1)

    assert place.token is not None
    assert place.token.text == "net"
