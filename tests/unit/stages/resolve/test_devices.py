"""The device catalogue."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.base import Precision
from hawqlang.ir.spec import Device
from hawqlang.stages.resolve.devices import device, device_names, rate

TERA = 10**12


def at(wbits: int, abits: int) -> Precision:
    return Precision(wbits=wbits, abits=abits)


def test_the_catalogue_has_the_devices_the_language_names() -> None:
    named = {"cpu.x86_64", "cpu.native", "nvidia.t4", "nvidia.a100", "nvidia.h200"}
    assert named <= set(device_names())
    assert list(device_names()) == sorted(device_names())


@pytest.mark.parametrize("name", device_names())
def test_every_device_is_complete_and_of_its_family(name: str) -> None:
    found = device(name)
    assert found.name == name
    assert found.family == name.partition(".")[0]
    assert tuple(precision for precision, _ in found.rates) == found.native
    assert found.arch is not None
    assert found.launch < Fraction(1, 10**4)


@pytest.mark.parametrize(
    ("name", "int8", "int4"),
    [("nvidia.t4", 130, 260), ("nvidia.a100", 624, 1248), ("nvidia.h100", 1979, None)],
)
def test_peaks_are_half_the_operations_of_the_datasheet(
    name: str, int8: int, int4: int | None
) -> None:
    rates = dict(device(name).rates)
    assert rates[at(8, 8)] == Fraction(int8, 2) * TERA
    assert rates.get(at(4, 4)) == (None if int4 is None else Fraction(int4, 2) * TERA)


def test_an_unknown_device_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        device("nvidia.t5")


def test_a_precision_without_native_support_runs_at_the_next_wider_rate() -> None:
    t4 = device("nvidia.t4")
    assert rate(t4, at(4, 4)) == 130 * TERA
    assert rate(t4, at(2, 4)) == 130 * TERA
    assert rate(t4, at(4, 8)) == 65 * TERA
    assert rate(device("nvidia.h200"), at(4, 4)) == rate(device("nvidia.h200"), at(8, 8))


def test_operands_wider_than_anything_native_are_split_into_passes() -> None:
    h200 = device("nvidia.h200")
    assert rate(h200, at(8, 16)) == rate(h200, at(8, 8)) / 2
    assert rate(h200, at(16, 16)) == rate(h200, at(8, 8)) / 4


def test_a_rate_of_its_own_wins() -> None:
    found = Device(
        name="custom",
        family="custom",
        native=(at(8, 8),),
        rates=((at(8, 8), Fraction(100)), (at(4, 8), Fraction(150))),
        bandwidth=Fraction(1),
        cache=None,
        launch=Fraction(0),
    )
    assert rate(found, at(4, 8)) == 150
    assert rate(found, at(4, 4)) == 100
