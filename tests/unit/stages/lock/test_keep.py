"""The lock file: what is replaced, what stays, and what a kill leaves."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from hawqlang.diagnostics import HawqError
from hawqlang.ir.lock import Lock
from hawqlang.stages.lock.keep import Unwritable, keep, read_lock
from hawqlang.stages.lock.text import render
from tests.support.locks import entry, origin


def test_no_lock_reads_as_an_empty_one(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "a.hawq.lock").builds == ()


def test_entries_of_other_builds_stay_and_of_gone_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq.lock"
    for name in ("c", "b", "a"):
        assert keep(path, name, entry(), {"a", "b", "c"}) is True
    assert [name for name, _ in read_lock(path).builds] == ["a", "b", "c"]
    assert keep(path, "b", entry(("w8a8", "w8a8")), {"a", "b"}) is True
    assert dict(read_lock(path).builds) == {"a": entry(), "b": entry(("w8a8", "w8a8"))}


def test_the_same_result_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq.lock"
    keep(path, "a", entry(), {"a"})
    path.chmod(0o444)
    before = path.stat().st_mtime_ns
    assert keep(path, "a", entry(), {"a"}) is False
    assert path.stat().st_mtime_ns == before


def test_another_library_with_the_same_result_leaves_the_one_that_measured(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq.lock"
    keep(path, "a", entry(), {"a"})
    assert keep(path, "a", entry(made_from=origin(torch="3.0")), {"a"}) is False
    newer = entry(("w8a8", "w4a4"), made_from=origin(torch="3.0"))
    assert keep(path, "a", newer, {"a"}) is True
    assert read_lock(path).entry("a") == newer


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PermissionError(13, "denied")])
def test_a_write_that_does_not_end_leaves_the_old_lock_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.hawq.lock"
    keep(path, "a", entry(), {"a"})
    before = path.read_bytes()

    def die(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", die)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            keep(path, "a", entry(("w8a8", "w8a8")), {"a"})
    else:
        found = keep(path, "a", entry(("w8a8", "w8a8")), {"a"})
        assert isinstance(found, Unwritable)
        assert "denied" in found.warning.message
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_lock_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq.lock"
    path.write_text("{", "utf-8")
    with pytest.raises(HawqError, match="HQ860"):
        keep(path, "a", entry(), {"a"})
    assert path.read_text("utf-8") == "{"


def _keep_slowly(path: Path, own: str, names: list[str]) -> None:
    def slow(lock: Lock) -> str:
        time.sleep(0.2)  # between reading and writing
        return render(lock)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hawqlang.stages.lock.keep.render", slow)
        keep(path, own, entry(), set(names))


def test_processes_that_end_at_the_same_instant_lose_no_entry(tmp_path: Path) -> None:
    path, names = tmp_path / "a.hawq.lock", ["a", "b", "c"]
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=_keep_slowly, args=(path, own, names)) for own in names]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert [one.exitcode for one in running] == [0, 0, 0]
    assert [name for name, _ in read_lock(path).builds] == names
    assert list(tmp_path.iterdir()) == [path]
