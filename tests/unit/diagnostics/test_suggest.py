"""Did you mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawqlang.diagnostics.suggest import edit_distance, nearest

KNOWN = ("size", "latency", "perturbation", "peak_memory", "switches", "bops", "macs", "w4a8")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("sizes", "size"),
        ("szie", "size"),
        ("Latency", "latency"),
        ("latncy", "latency"),
        ("perturb", "perturbation"),
        ("peakmemory", "peak_memory"),
        ("bop", "bops"),
        ("w4a6", "w4a8"),
    ],
)
def test_a_slip_is_recognised(word: str, meant: str) -> None:
    assert nearest(word, KNOWN)[:1] == (meant,)


@pytest.mark.parametrize("word", ["", "x", "accuracy", "resnet18", "sz"])
def test_a_word_that_resembles_none_has_no_suggestion(word: str) -> None:
    assert nearest(word, KNOWN) == ()


def test_the_nearest_come_first_and_no_more_than_asked_for() -> None:
    known = ("layer1.conv1", "layer1.conv2", "layer2.conv1", "layer1.conv", "fc")

    assert nearest("layer1.conv3", known, limit=2) == ("layer1.conv", "layer1.conv1")
    assert nearest("layer1.conv1", known)[0] == "layer1.conv"


def reference(a: str, b: str) -> int:
    """Optimal string alignment, by its recursive definition."""
    if not a or not b:
        return len(a) + len(b)
    best = min(
        reference(a[:-1], b) + 1,
        reference(a, b[:-1]) + 1,
        reference(a[:-1], b[:-1]) + (a[-1] != b[-1]),
    )
    if len(a) > 1 and len(b) > 1 and a[-1] == b[-2] and a[-2] == b[-1]:
        best = min(best, reference(a[:-2], b[:-2]) + 1)
    return best


@given(st.text("ab", max_size=5), st.text("ab", max_size=5), st.integers(0, 5))
def test_the_distance_is_optimal_string_alignment(a: str, b: str, bound: int) -> None:
    assert edit_distance(a, b, bound) == min(reference(a, b), bound + 1)
