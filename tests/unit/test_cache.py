"""The cache: whole entries or none, damage is noticed, absence costs time only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.base import Frozen, TensorRef
from hawqlang.cache import Cache, TensorStore, digest, write_atomic


class Noun(Frozen):
    """A result that refers to an array."""

    name: str
    data: TensorRef


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("on_disk", [False, True])
def test_an_array_comes_back_as_it_was(tmp_path: Path, *, on_disk: bool) -> None:
    store = TensorStore(tmp_path if on_disk else None)
    array = np.arange(12, dtype=np.int16).reshape(3, 4)[:, ::2]
    ref = store.put(array)
    np.testing.assert_array_equal(store.get(ref), array)
    assert store.get(ref).dtype == np.int16
    assert ref in store
    assert not store.get(ref).flags.writeable


def test_equal_bytes_of_other_types_are_other_arrays(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    assert store.put(np.zeros(4, np.int8)) != store.put(np.zeros(4, np.uint8))
    assert store.put(np.zeros(4, np.int8)) != store.put(np.zeros((2, 2), np.int8))


def test_a_damaged_array_is_dropped_instead_of_believed(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    ref = store.put(np.arange(100))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(KeyError):
        store.get(ref)
    assert ref not in store


def test_a_result_is_computed_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    calls: list[int] = []

    def compute() -> Noun:
        calls.append(1)
        return Noun(name="x", data=cache.tensors.put(np.ones(3)))

    first = cache.step("key", Noun, compute)
    assert Cache(tmp_path).step("key", Noun, compute) == first
    assert len(calls) == 1


def test_a_result_without_its_array_is_computed_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    value = Noun(name="x", data=cache.tensors.put(np.ones(3)))
    cache.save("key", value)
    for path in files(tmp_path / "tensors"):
        path.unlink()
    assert cache.load("key", Noun) is None


def test_an_unreadable_result_is_computed_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save("key", Noun(name="x", data=cache.tensors.put(np.ones(3))))
    for path in files(tmp_path / "steps"):
        path.write_text("{", encoding="utf-8")
    assert cache.load("key", Noun) is None


def test_a_cache_that_cannot_be_written_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    value = Noun(name="x", data=cache.tensors.put(np.ones(3)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hawqlang.cache.write_atomic", full)
    assert cache.step("key", Noun, lambda: value) == value


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == [path]


def test_digests_tell_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(b"x") != digest("x")
    assert digest(1, 2) == digest(1, 2)
