"""Synthetic samples can be read from an artifact like any others, and looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hawqlang.base import NOWHERE
from hawqlang.cache import TensorStore
from hawqlang.ir.spec import ArraysData, Dataset, ZeroShotData
from hawqlang.ir.synthetic import Synthetic
from hawqlang.stages.data import open_samples
from hawqlang.stages.zero_shot.samples import (
    ARRAYS,
    SHEET,
    SyntheticSamples,
    contact_sheet,
    describe,
    stored_dataset,
    synthetic_samples,
    write_samples,
)
from tests.support.imports import image, vector

RNG = np.random.default_rng(0)


def samples(shape: tuple[int, ...] = (7, 8, 10, 3)) -> SyntheticSamples:
    store = TensorStore()
    made = Synthetic(
        images=store.put(RNG.integers(0, 256, shape).astype(np.uint8)),
        classes=store.put(np.arange(shape[0]) % 3),
        method="generator",
        steps=9,
        norms=4,
        mismatch=0.02,
        noise=1.5,
    )
    return synthetic_samples(made, store)


def test_an_artifact_carries_the_samples(tmp_path: Path) -> None:
    own = samples()
    write_samples(own, image(8, 10), tmp_path)
    dataset = Dataset(
        name="d",
        calibration=ZeroShotData(count=7, steps=9, span=NOWHERE),
        evaluation=None,
        training=None,
        span=NOWHERE,
    )
    carried = stored_dataset(dataset, tmp_path)
    assert carried is not None
    assert isinstance(carried.calibration, ArraysData)
    read = open_samples(carried.calibration, image(8, 10))
    np.testing.assert_array_equal(read.take(range(7)), own.images)
    np.testing.assert_array_equal(np.concatenate(list(own.batches(3))), own.images)
    np.testing.assert_array_equal(own.take([4, 1]), own.images[[4, 1]])
    np.testing.assert_array_equal(read.labels, own.labels)


def test_other_data_stays_where_it_is() -> None:
    assert stored_dataset(None, Path()) is None
    real = ArraysData(path="x.npz", images="x", labels=None, count=None, span=NOWHERE)
    dataset = Dataset(name="d", calibration=real, evaluation=None, training=None, span=NOWHERE)
    assert stored_dataset(dataset, Path()) is dataset


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    own = samples()
    for name in "ab":
        (tmp_path / name).mkdir()
        write_samples(own, image(8, 10), tmp_path / name)
    for name in (ARRAYS, SHEET):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_every_image_is_on_the_contact_sheet(tmp_path: Path) -> None:
    own = samples()
    write_samples(own, image(8, 10), tmp_path)
    with Image.open(tmp_path / SHEET) as sheet:
        pixels = np.asarray(sheet)
    zoom = 6
    assert pixels.shape == (3 * (8 * zoom + 2) + 2, 3 * (10 * zoom + 2) + 2, 3)
    for index, picture in enumerate(own.images):
        top, left = (index // 3) * 50 + 2, (index % 3) * 62 + 2
        tile = pixels[top : top + 48 : zoom, left : left + 60 : zoom]
        np.testing.assert_array_equal(tile, picture)


def test_grey_images_are_shown_grey() -> None:
    grey = RNG.integers(0, 256, (1, 64, 64, 1)).astype(np.uint8)
    sheet = contact_sheet(grey)
    for channel in range(3):
        np.testing.assert_array_equal(sheet[2:66, 2:66, channel], grey[0, :, :, 0])


def test_vectors_have_no_contact_sheet(tmp_path: Path) -> None:
    write_samples(samples((4, 5)), vector(5), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ARRAYS]


@pytest.mark.parametrize(("method", "word"), [("generator", "generator"), ("direct", "noise")])
def test_the_card_names_how_samples_were_made(method: str, word: str) -> None:
    made = samples().made.model_copy(update={"method": method})
    text = describe(made)
    assert text.startswith("7 synthetic samples")
    assert f"from {'a ' if method == 'generator' else ''}{word}" in text
    assert "no real sample" in text
