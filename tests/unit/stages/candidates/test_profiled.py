"""Profiles: read into candidates, and refused where they would decide about something else."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.profile import Profile, ProfiledLayer
from hawqlang.ir.spec import ProfileLatency, Target
from hawqlang.stages.candidates.profiled import profiled
from hawqlang.stages.candidates.table import candidates
from tests.support.allocation import W4, W8, build, layer, target

TABLE = LayerTable(layers=(layer("a"), layer("b")))


def written(path: Path, *layers: ProfiledLayer, batch: int = 1, threads: int = 1) -> Path:
    found = Profile(device="cpu.native", batch=batch, threads=threads, layers=layers)
    path.write_text(found.model_dump_json())
    return path


def on(path: Path) -> Target:
    return target().replace(latency=ProfileLatency(path=str(path)))


def code(path: Path) -> str:
    with pytest.raises(HawqError) as caught:
        profiled(target().replace(latency=ProfileLatency(path=str(path))), TABLE)
    return caught.value.diagnostics[0].code


def test_a_profile_comes_before_the_model_layer_by_layer(tmp_path: Path) -> None:
    path = written(tmp_path / "p.json", ProfiledLayer(name="a", latency_us={"w8a8": 2.5}))
    found = candidates(build(target=on(path)), TABLE, None)
    assert found.layer("a").at(W8).latency == Fraction(25, 10**7)
    assert found.layer("a").at(W8).latency_source == "profile"
    assert found.layer("a").at(W4).latency_source == "modelled"
    assert found.layer("b").at(W8).latency_source == "modelled"


def test_without_a_profile_nothing_is_read() -> None:
    assert profiled(target(), TABLE) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"format_version":2,"device":"x","batch":1,"threads":1,"layers":[]}',
        b'{"device":"x","batch":0,"threads":1,"layers":[]}',
        b'{"device":"x","batch":1,"threads":1,"layers":[{"name":"a","latency_us":{"fast":1}}]}',
        b'{"device":"x","batch":1,"threads":1,"layers":[{"name":"a","latency_us":{"w8a8":-1}}]}',
        b'{"device":"x","batch":1,"threads":1,"layers":[{"name":"a","latency_us":{"w8a8":"soon"}}]}',
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    assert code(path) == "HQ427"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert code(tmp_path / "none.json") == "HQ427"


@pytest.mark.parametrize(("batch", "threads"), [(2, 1), (1, 2)])
def test_times_of_another_batch_or_more_threads_are_refused(
    tmp_path: Path, batch: int, threads: int
) -> None:
    assert code(written(tmp_path / "p.json", batch=batch, threads=threads)) == "HQ428"


def test_times_of_another_network_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "p.json", ProfiledLayer(name="secret", latency_us={"w8a8": 1.0}))
    with pytest.raises(HawqError) as caught:
        profiled(target().replace(latency=ProfileLatency(path=str(path))), TABLE)
    (found,) = caught.value.diagnostics
    assert found.code == "HQ429"
    assert "secret" not in found.message
