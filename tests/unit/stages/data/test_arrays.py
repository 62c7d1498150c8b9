from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawqlang.base import Span
from hawqlang.diagnostics import HawqError
from hawqlang.ir.spec import ArraysData, ImageInput, TensorInput
from hawqlang.stages.data import data_digest, open_samples
from hawqlang.stages.data.arrays import to_codes
from hawqlang.stages.float_model import code_table, preprocess

SPAN = Span(file="d.hawq", line=2, column=1, end_line=2, end_column=9)
RNG = np.random.default_rng(0)


def image(height: int, width: int, channels: int = 3) -> ImageInput:
    return ImageInput(
        height=height,
        width=width,
        channels=channels,
        mean=(Fraction(0),) * channels,
        std=(Fraction(1),) * channels,
    )


def arrays(path: Path, **settings: Any) -> ArraysData:
    given: dict[str, Any] = {"images": "x", "labels": "y", "count": None}
    return ArraysData(path=str(path), span=SPAN, **(given | settings))


def refused(data: ArraysData, kind: ImageInput | TensorInput, classes: int | None = None) -> str:
    with pytest.raises(HawqError) as caught:
        list(open_samples(data, kind, classes=classes).batches(4))
    (found,) = caught.value.diagnostics
    assert found.span == SPAN
    return f"{found.code}: {found.message} ({found.help})"


@pytest.mark.parametrize("compressed", [False, True])
def test_samples_and_labels_come_as_stored(tmp_path: Path, compressed: bool) -> None:
    x = RNG.integers(0, 256, (11, 5, 4, 3), dtype=np.uint8)
    y = RNG.integers(0, 10, 11).astype(np.int32)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "d.npz", x=x, y=y)
    samples = open_samples(arrays(tmp_path / "d.npz"), image(5, 4), classes=10)
    assert len(samples) == 11
    for size in (1, 4, 11, 50):
        np.testing.assert_array_equal(np.concatenate(list(samples.batches(size))), x)
    np.testing.assert_array_equal(samples.take([10, 3, 3, 0]), x[[10, 3, 3, 0]])
    np.testing.assert_array_equal(samples.take([-1]), x[[-1]])
    assert samples.labels is not None
    np.testing.assert_array_equal(samples.labels, y)
    assert samples.labels.dtype == np.int64


def test_taking_from_beyond_the_first_chunk(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (200, 2, 2, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x)
    samples = open_samples(arrays(tmp_path / "d.npz"), image(2, 2))
    np.testing.assert_array_equal(samples.take([199, 64, 63]), x[[199, 64, 63]])
    with pytest.raises(IndexError):
        samples.take([200])


def test_gray_images_may_leave_out_the_channel_axis(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (3, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x)
    (batch,) = open_samples(arrays(tmp_path / "d.npz"), image(5, 4, 1)).batches(3)
    np.testing.assert_array_equal(batch, x[..., None])


def test_labels_of_the_default_name_may_be_absent_others_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 5, 4, 3), dtype=np.uint8))
    assert open_samples(arrays(tmp_path / "d.npz"), image(5, 4)).labels is None
    said = refused(arrays(tmp_path / "d.npz", labels="t"), image(5, 4))
    assert said.startswith("HQ402")
    assert "it has 'x'" in said


def test_count_takes_the_first(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(6))
    samples = open_samples(arrays(tmp_path / "d.npz", count=2), image(2, 2), classes=2)
    np.testing.assert_array_equal(np.concatenate(list(samples.batches(8))), x[:2])
    assert samples.labels is not None
    np.testing.assert_array_equal(samples.labels, [0, 1])
    assert refused(arrays(tmp_path / "d.npz", count=7), image(2, 2)).startswith("HQ403")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 5, 4, 3), dtype=np.float32), None, "HQ405: array 'x' of"),
        (np.zeros((3, 5, 4, 3), dtype=np.int8), None, "HQ405: array 'x' of"),
        (np.zeros((3, 3, 5, 4), dtype=np.uint8), None, "HQ406: array 'x' of"),
        (np.zeros((3, 5, 4), dtype=np.uint8), None, "HQ406: array 'x' of"),
        (np.zeros((0, 5, 4, 3), dtype=np.uint8), None, "HQ402: array 'x' of"),
        (np.uint8(3), None, "HQ406: array 'x' of"),
        (np.asfortranarray(np.zeros((3, 5, 4, 3), dtype=np.uint8)), None, "column by column"),
        (np.array([object(), None]), None, "objects, not numbers"),
        (np.array(["a", "b"]), None, "objects, not numbers"),
        (np.zeros((3, 5, 4, 3), dtype=np.uint8), np.zeros(4, dtype=int), "HQ407: array 'y' of"),
        (np.zeros((3, 5, 4, 3), dtype=np.uint8), np.zeros((3, 1), dtype=int), "HQ407"),
        (np.zeros((3, 5, 4, 3), dtype=np.uint8), np.zeros(3), "HQ408: the labels are of type"),
        (
            np.zeros((3, 5, 4, 3), dtype=np.uint8),
            np.array([0, 10, 1]),
            "HQ408: 1 labels are outside 0 to 9, the first at label 1",
        ),
        (np.zeros((3, 5, 4, 3), dtype=np.uint8), np.array([0, 1, -1]), "HQ408: 1 labels are"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, x: Any, y: Any, message: str) -> None:
    np.savez(tmp_path / "d.npz", allow_pickle=True, **({"x": x} if y is None else {"x": x, "y": y}))
    assert message in refused(arrays(tmp_path / "d.npz"), image(5, 4), classes=10)


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_archives(tmp_path: Path, compressed: bool) -> None:
    x = RNG.integers(0, 256, (40, 5, 4, 3), dtype=np.uint8)
    path = tmp_path / "d.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=x)
    content = path.read_bytes()
    assert refused(arrays(tmp_path / "no.npz"), image(5, 4)).startswith("HQ401")
    for bad in (b"", b"text", content[: len(content) // 2]):
        path.write_bytes(bad)
        assert refused(arrays(path), image(5, 4)).startswith("HQ404")
    middle = bytearray(content)
    middle[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(middle))
    assert refused(arrays(path), image(5, 4)).startswith("HQ404")
    path.unlink()
    path.mkdir()
    assert refused(arrays(path), image(5, 4)).startswith("HQ404")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((4000, 32, 32, 3), dtype=np.uint8))
    samples = open_samples(arrays(tmp_path / "d.npz"), image(32, 32))
    tracemalloc.start()
    try:
        assert sum(len(batch) for batch in samples.batches(16)) == 4000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_digest_follows_content_array_and_count(tmp_path: Path) -> None:
    x = np.zeros((4, 2, 2, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, z=x)
    np.savez(tmp_path / "b.npz", x=x + 1, z=x)
    kind = image(2, 2)
    found = [
        data_digest(arrays(tmp_path / "a.npz"), kind),
        data_digest(arrays(tmp_path / "b.npz"), kind),
        data_digest(arrays(tmp_path / "a.npz", images="z"), kind),
        data_digest(arrays(tmp_path / "a.npz", count=2), kind),
    ]
    assert len(set(found)) == 4
    (tmp_path / "a.npz").rename(tmp_path / "c.npz")
    assert data_digest(arrays(tmp_path / "c.npz"), kind) == found[0]


# ---- tensor inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 5), (2, 5), (-3, -1)])
def test_real_numbers_become_the_nearest_codes(low: int, high: int, tmp_path: Path) -> None:
    kind = TensorInput(dims=(7,), low=Fraction(low), high=Fraction(high))
    x = RNG.uniform(low, high, (9, 7)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x)
    (codes,) = open_samples(arrays(tmp_path / "d.npz"), kind).batches(9)
    assert codes.dtype == np.uint8
    step = (max(high, 0) - min(low, 0)) / 255
    values = preprocess(codes, kind).numpy()
    np.testing.assert_allclose(values, x, atol=step / 2 + 1e-6)
    np.testing.assert_array_equal(to_codes(code_table(kind), kind), np.arange(256))
    assert 0.0 in code_table(kind)


def test_codes_of_a_tensor_come_as_stored(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (4, 3, 5), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x)
    kind = TensorInput(dims=(3, 5), low=Fraction(-1), high=Fraction(1))
    (batch,) = open_samples(arrays(tmp_path / "d.npz"), kind).batches(9)
    np.testing.assert_array_equal(batch, x)


def test_not_finite_numbers_have_no_code(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([[0.0, np.nan]], dtype=np.float32))
    kind = TensorInput(dims=(2,), low=Fraction(-1), high=Fraction(1))
    assert refused(arrays(tmp_path / "d.npz"), kind).startswith("HQ409")
