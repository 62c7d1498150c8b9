"""Which builds of two sides are compared, and what the rest counts as."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hawqlang.diagnostics import HawqError
from hawqlang.ir.lock import Lock
from hawqlang.stages.diff.report import difference, difference_json
from hawqlang.stages.diff.sides import Kind, Request, Side, read_side
from hawqlang.stages.lock.changes import standing
from hawqlang.stages.lock.text import render
from tests.support.locks import entry

SMALL, LARGE = standing(entry()), standing(entry(("w8a8", "w8a8")))


def side(kind: Kind = "lock", **standings: object) -> Side:
    return Side(kind, "a.lock", standings)  # pyright: ignore[reportArgumentType]


def test_single_builds_are_compared_whatever_they_are_called() -> None:
    found = difference(side(net=SMALL), side(other=LARGE))
    assert [one.build for one in found.builds] == ["net → other"]
    assert (found.removed, found.added) == ((), ())
    assert not found.none()


def test_of_several_builds_those_of_one_name_are_compared() -> None:
    found = difference(side(a=SMALL, b=SMALL), side(b=SMALL, c=SMALL))
    assert [one.build for one in found.builds] == ["b"]
    assert found.builds[0].none()
    assert (found.removed, found.added) == (("a",), ("c",))
    assert not found.none()


def test_specs_without_allocation_are_compared_by_what_they_say() -> None:
    one = Side("spec", "a.hawq", statements={"": ("hawq 1",), "net": ("seed = 0",)})
    other = Side("spec", "b.hawq", statements={"": ("hawq 1",), "net": ("seed = 1",)})
    found = difference_json(difference(one, other))
    assert found["spec"] == [{"build": "net", "removed": ["seed = 0"], "added": ["seed = 1"]}]
    assert (found["changed"], found["metrics"]) == ([], {})
    assert len(found["notes"]) == 2
    assert difference(one, one).none()


def test_sides_that_share_nothing_are_refused() -> None:
    with pytest.raises(HawqError, match="no build in common"):
        difference(side(a=SMALL, b=SMALL), side(c=SMALL, d=SMALL))
    bare = Side("spec", "a.hawq", statements={"": (), "net": ()})
    with pytest.raises(HawqError, match=r"'a\.hawq' has no allocation"):
        difference(bare, side(net=SMALL))


def test_percentages_are_of_the_first_side_and_null_where_it_is_zero() -> None:
    zero = SMALL.replace(metrics=(("size_bytes", 100.0), ("perturbation", 0.0)))
    some = LARGE.replace(metrics=(("size_bytes", 200.0), ("perturbation", 1.0), ("bops", 1.0)))
    found = difference_json(difference(side(net=zero), side(net=some)))["metrics"]["net"]
    assert found == {
        "size_bytes": {"before": 100.0, "after": 200.0, "difference": 100.0, "percent": 100.0},
        "perturbation": {"before": 0.0, "after": 1.0, "difference": 1.0, "percent": None},
        "bops": {"before": None, "after": 1.0, "difference": None, "percent": None},
    }
    json.dumps(found, allow_nan=False)


def test_one_build_of_a_lock_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq.lock"
    path.write_text(render(Lock(builds=(("a", entry()), ("b", entry())))), "utf-8")
    assert list(read_side(Request(path, "b", "a.hawq.lock:b", {})).standings) == ["b"]
    with pytest.raises(HawqError, match="no build called 'c'"):
        read_side(Request(path, "c", "a.hawq.lock:c", {}))
