"""The examples are sound as they are shipped."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

from hawqlang.stages.resolve import MISSING_FILE_CODES, resolve_file
from tests.docs.markdown import ROOT

EXAMPLES = ROOT / "specs" / "examples"
DIGITS = EXAMPLES / "digits"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.hawq")), ids=lambda p: p.stem)
def test_example_resolves_and_only_its_data_may_be_missing(path: Path, tmp_path: Path) -> None:
    needs_data = "param data" in path.read_text(encoding="utf-8")
    overrides = {"data": str(tmp_path)} if needs_data else {}
    spec, found = resolve_file(path, overrides=overrides, trust=False)
    assert [d for d in found if d.code not in MISSING_FILE_CODES] == []
    assert spec is not None
    assert len(spec.builds) == 1


def test_starter_names_the_files_that_init_copies() -> None:
    spec, found = resolve_file(ROOT / "specs" / "starter" / "starter.hawq", overrides={})
    assert [d for d in found if d.severity == "error"] == []
    assert spec is not None
    (build,) = spec.builds
    text = build.model_dump_json()
    assert all(name in text for name in ("model.onnx", "calibration.npz", "evaluation.npz"))


@pytest.fixture(scope="module")
def train() -> ModuleType:
    """`specs/examples/digits/train.py` as a module."""
    specification = importlib.util.spec_from_file_location("train", DIGITS / "train.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_digits_evaluation_set_is_exactly_what_training_held_back(train: ModuleType) -> None:
    train_x, train_y, eval_x, eval_y = train.load_split()
    with np.load(DIGITS / "digits_eval.npz") as held_out:
        np.testing.assert_array_equal(held_out["x"], eval_x)
        np.testing.assert_array_equal(held_out["y"], eval_y)
    with np.load(DIGITS / "digits_calib.npz") as calibration:
        count = len(calibration["x"])
        np.testing.assert_array_equal(calibration["x"], train_x[:count])
        np.testing.assert_array_equal(calibration["y"], train_y[:count])
    assert len(train_x) + len(eval_x) == 1797


def test_digits_network_reads_98_percent_of_what_it_never_saw(train: ModuleType) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(DIGITS / "digits.onnx")
    with np.load(DIGITS / "digits_eval.npz") as held_out:
        image = train.normalized(held_out["x"]).numpy()
        results = cast("list[Any]", session.run(None, {"image": image}))
        assert np.mean(results[0].argmax(axis=1) == held_out["y"]) >= 0.98


def test_digits_files_stay_below_one_megabyte() -> None:
    assert sum(path.stat().st_size for path in DIGITS.rglob("*") if path.is_file()) < 1_000_000
