"""Where data and cache lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang import resources
from hawqlang.resources import cache_dir, data_dir


def test_a_checkout_has_its_data_beside_the_package() -> None:
    assert (data_dir("grammar") / "hawq.lark").is_file()
    assert data_dir("grammar").parent == Path(resources.__file__).parents[1]


def test_a_wheel_has_its_data_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_data" / "grammar").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)

    assert data_dir("grammar") == tmp_path / "_data" / "grammar"


def test_the_cache_is_the_users_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path

    monkeypatch.setenv("HAWQ_CACHE", "")
    assert cache_dir().name == "hawqc"
