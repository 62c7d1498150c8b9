"""Modelled latency of a device that is described in place."""

from __future__ import annotations

from hawqlang.stages.candidates.costs import latency
from tests.support.allocation import W8, layer, target


def test_a_device_described_in_place_is_as_described_on_any_number_of_threads() -> None:
    one = layer("a", 100, 10**9, input_elements=30, output_elements=60)
    assert latency(one, W8, target().replace(threads=4), {}) == latency(one, W8, target(), {})
