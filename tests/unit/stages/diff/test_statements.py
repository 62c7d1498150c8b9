"""A spec as statements."""

from __future__ import annotations

from hawqlang.stages.diff.statements import differences, of_text

TEXT = """hawq 1

quantize net on box as net {
  precision       = [w4a4, w8a8]
  seed            = 0

  weights {
    range = minmax
  }

  subject to {
    a:    size <= 1 MiB
    long: switches <= 3
  }

  emit tvm
}
"""


def test_statements_carry_the_blocks_they_stand_in() -> None:
    assert of_text(TEXT) == (
        "hawq 1",
        "quantize net on box as net",
        "precision = [w4a4, w8a8]",
        "seed = 0",
        "weights / range = minmax",
        "subject to / a: size <= 1 MiB",
        "subject to / long: switches <= 3",
        "emit tvm",
    )


def test_a_longer_name_that_moves_a_column_is_no_difference() -> None:
    moved = TEXT.replace("a:    size", "a:      size").replace("long: ", "longer: ")
    assert differences(of_text(TEXT), of_text(moved)) == (
        ("subject to / long: switches <= 3",),
        ("subject to / longer: switches <= 3",),
    )


def test_what_is_removed_and_added_is_told_apart() -> None:
    after = TEXT.replace("  seed            = 0\n", "").replace("minmax", "mse")
    assert differences(of_text(TEXT), of_text(after)) == (
        ("seed = 0", "weights / range = minmax"),
        ("weights / range = mse",),
    )
