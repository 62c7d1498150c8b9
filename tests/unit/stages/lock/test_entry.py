"""Sensitivities into a lock's entry and back."""

from __future__ import annotations

from typing import Any

import pytest

from hawqlang.base import Precision
from hawqlang.ir.bundle import OpNumbers
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.profile import Profile, ProfiledLayer
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable
from hawqlang.ir.spec import Build, FileSensitivity, NamedSensitivity
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from hawqlang.stages.lock.entry import (
    dyadic_digest,
    edited,
    edited_latencies,
    planned,
    recorded,
    recorded_latencies,
)
from tests.support.allocation import W4, W8, build, layer, target
from tests.support.locks import origin

RATES = ((W4, 0.1 + 0.2), (W8, 1e-300))
TABLE = SensitivityTable(
    method="hessian",
    layers=tuple(
        LayerSensitivity(
            layer=name,
            values=RATES,
            weight_trace=1 / 3,
            weight_trace_stderr=0.0,
            activation_trace=2 / 3,
        )
        for name in ("a", "b")
    ),
    probes=7,
    converged=False,
    labels=False,
)
MEASURING = build(target=target().replace(latency="measured"))
PROFILE = Profile(
    device=MEASURING.target.device.name,
    machine="vnni",
    cpu="a laptop",
    batch=1,
    threads=1,
    layers=tuple(
        ProfiledLayer(name=name, latency_us={"w4a4": 1.5, "w8a8": 3.0}) for name in ("a", "b")
    ),
)


def plan(spec: Build, table: SensitivityTable | None) -> BitPlan:
    from hawqlang.ir.layers import LayerTable

    layers = LayerTable(layers=(layer("a"), layer("b")))
    return allocate(spec, layers, candidates(spec, layers, table))


def test_recorded_sensitivities_come_back_to_the_last_bit() -> None:
    entry = planned(origin(), plan(build(), TABLE), TABLE)
    assert recorded(entry, origin(), build()) == TABLE
    again = type(entry).model_validate_json(entry.model_dump_json(exclude_none=True))
    assert recorded(again, origin(), build()) == TABLE


def test_recorded_latencies_come_back_and_an_edit_shows() -> None:
    entry = planned(origin(), plan(build(), TABLE), TABLE, profile=PROFILE)
    again = type(entry).model_validate_json(entry.model_dump_json(exclude_none=True))
    assert recorded_latencies(again, origin(), MEASURING) == PROFILE
    assert not edited_latencies(again)
    cheaper = again.layers[0].replace(latency_us=((W4, 0.5), (W8, 3.0)))
    changed = again.replace(layers=(cheaper, *again.layers[1:]))
    assert edited_latencies(changed)
    assert not edited(changed)


@pytest.mark.parametrize(
    "spec",
    [
        build(),
        build(target=target().replace(latency="measured", batch=2)),
        build(target=target().replace(latency="measured", threads=2)),
    ],
)
def test_recorded_latencies_are_of_one_setting(spec: Build) -> None:
    entry = planned(origin(), plan(build(), TABLE), TABLE, profile=PROFILE)
    assert recorded_latencies(entry, origin(), spec) is None
    elsewhere = origin().replace(measured_from="f" * 64)
    assert recorded_latencies(entry, elsewhere, MEASURING) is None


def test_without_measured_latencies_a_lock_says_nothing_of_them() -> None:
    entry = planned(origin(), plan(build(), TABLE), TABLE)
    assert "latency_us" not in entry.model_dump_json(exclude_none=True).partition('"metrics"')[0]
    assert recorded_latencies(entry, origin(), MEASURING) is None
    assert not edited_latencies(entry)


def test_recorded_sensitivities_hold_while_what_they_rest_on_stays() -> None:
    entry = planned(origin(), plan(build(), TABLE), TABLE)
    elsewhere = origin(torch="9.9", spec="f" * 64, settings=(("budget", "1 B"),))
    assert recorded(entry, elsewhere, build()) == TABLE
    assert recorded(entry, origin().replace(measured_from="f" * 64), build()) is None
    assert recorded(None, origin(), build()) is None


def test_what_is_read_from_a_file_is_read_again() -> None:
    spec = build().replace(sensitivity=FileSensitivity(path="s.json"))
    assert recorded(planned(origin(), plan(spec, TABLE), TABLE), origin(), spec) is None


@pytest.mark.parametrize("kind", ["fisher", "mse", "kl", "measured"])
def test_what_was_measured_in_any_way_is_used(kind: Any) -> None:
    spec = build().replace(sensitivity=NamedSensitivity(kind=kind))
    assert recorded(planned(origin(), plan(spec, TABLE), TABLE), origin(), spec) == TABLE


def test_where_no_layer_has_a_choice_nothing_is_recorded_as_measured() -> None:
    table = SensitivityTable(method="not needed", layers=())
    spec = build(precision=[W8])
    entry = planned(origin(), plan(spec, table), table)
    assert [one.sensitivity for one in entry.layers] == [(), ()]
    assert recorded(entry, origin(), spec) == table


def test_refused_allocations_are_kept_in_the_order_of_layers() -> None:
    refused: dict[str, Precision] = {"b": W4, "a": W8}
    entry = planned(origin(), plan(build(), TABLE), TABLE, [refused])
    assert entry.refused == ((W8, W4),)
    assert entry.refusals() == ({"a": W8, "b": W4},)
    assert '"refused":["w8a8 w4a4"]' in entry.model_dump_json()


def test_the_dyadic_digest_hangs_on_every_number() -> None:
    numbers = OpNumbers(op="conv", tensor="t", multiplier=(3, 5), shift=(7, 9))
    same = OpNumbers(op="conv", tensor="t", multiplier=(3, 5), shift=(7, 9))
    changed = (
        numbers.replace(multiplier=(3, 6)),
        numbers.replace(shift=(7, 8)),
        numbers.replace(tensor="u"),
        numbers.replace(op="fc"),
    )
    assert dyadic_digest([numbers]) == dyadic_digest([same])
    assert len({dyadic_digest([one]) for one in (numbers, *changed)}) == 5
    assert dyadic_digest([numbers, same]) != dyadic_digest([numbers])


def test_sensitivities_changed_by_hand_are_noticed_and_another_precision_is_none() -> None:
    own = planned(origin(), plan(build(), TABLE), TABLE)
    first, *others = own.layers
    narrower = own.replace(layers=(first.replace(precision=W4), *others))
    dearer = own.replace(layers=(first.replace(sensitivity=((W4, 0.5), (W8, 1e-300))), *others))
    assert own.measured is not None
    unsealed = dearer.replace(measured=own.measured.replace(seal=None))
    assert [edited(one) for one in (None, own, narrower, dearer, unsealed)] == [
        *(False, False, False),
        *(True, False),
    ]
