"""Modelled latency."""

from __future__ import annotations

from hawqlang.stages.candidates.costs import latency
from tests.support.allocation import DEVICE, W8, layer, target


def test_each_thread_of_a_catalogue_cpu_is_a_core_and_a_device_in_place_is_as_described() -> None:
    one = layer("a", 100, 10**9, input_elements=30, output_elements=60)
    cpu = target(DEVICE.replace(name="cpu.x86_64", family="cpu"))
    alone = latency(one, W8, cpu, {})
    shared = latency(one, W8, cpu.replace(threads=4), {})
    assert alone is not None
    assert shared is not None
    assert alone - DEVICE.launch == 4 * (shared - DEVICE.launch)
    assert latency(one, W8, target().replace(threads=4), {}) == alone


def test_more_threads_bring_more_bandwidth() -> None:
    one = layer("a", 10**6, 10, input_elements=30, output_elements=60)
    cpu = target(DEVICE.replace(name="cpu.x86_64", family="cpu"))
    alone, shared = (latency(one, W8, cpu.replace(threads=n), {}) for n in (1, 2))
    assert alone is not None
    assert shared is not None
    assert alone - DEVICE.launch == 2 * (shared - DEVICE.launch)
