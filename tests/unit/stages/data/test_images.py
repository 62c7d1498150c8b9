from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hawqlang.base import Span
from hawqlang.diagnostics import HawqError
from hawqlang.ir.spec import ImageInput, ImagesData, TensorInput, ZeroShotData
from hawqlang.stages.data import data_digest, open_samples
from hawqlang.stages.data.images import resized

SPAN = Span(file="d.hawq", line=2, column=1, end_line=2, end_column=9)


def image(height: int, width: int, channels: int = 3) -> ImageInput:
    return ImageInput(
        height=height,
        width=width,
        channels=channels,
        mean=(Fraction(0),) * channels,
        std=(Fraction(1),) * channels,
    )


def images(folder: Path, **settings: Any) -> ImagesData:
    given: dict[str, Any] = {"labels": None, "resize": None, "crop": None, "count": None}
    return ImagesData(folder=str(folder), span=SPAN, **(given | settings))


def write(folder: Path, count: int, size: tuple[int, int] = (8, 8)) -> list[np.ndarray[Any, Any]]:
    """PNG files named so that their order is not that of writing."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
    for i in reversed(range(count)):
        Image.fromarray(pixels[i]).save(folder / f"img_{i:03}.png")
    return pixels


def refused(data: ImagesData, kind: ImageInput, classes: int | None = None) -> str:
    with pytest.raises(HawqError) as caught:
        list(open_samples(data, kind, classes=classes).batches(4))
    (found,) = caught.value.diagnostics
    assert found.span == SPAN
    return f"{found.code}: {found.message} ({found.help})"


def test_images_come_in_the_order_of_their_names_in_any_batch_size(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a", 7)
    samples = open_samples(images(tmp_path / "a"), image(8, 8))
    assert len(samples) == 7
    assert samples.labels is None
    for size in (1, 3, 7, 100):
        batches = list(samples.batches(size))
        assert all(b.dtype == np.uint8 for b in batches)
        np.testing.assert_array_equal(np.concatenate(batches), np.stack(pixels))
    np.testing.assert_array_equal(samples.take([5, 0, 5]), np.stack([pixels[i] for i in (5, 0, 5)]))
    assert samples.take([]).shape == (0, 8, 8, 3)


def test_count_takes_the_first_and_more_than_there_are_is_an_error(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a", 4)
    samples = open_samples(images(tmp_path / "a", count=2), image(8, 8))
    (batch,) = samples.batches(9)
    np.testing.assert_array_equal(batch, np.stack(pixels[:2]))
    assert refused(images(tmp_path / "a", count=5), image(8, 8)).startswith("HQ403: count = 5, but")


def test_other_files_and_folders_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "a", 2)
    write(tmp_path / "a" / "more.png", 1)
    (tmp_path / "a" / "labels.csv").write_text("file,label\n")
    assert len(open_samples(images(tmp_path / "a"), image(8, 8))) == 2


def test_short_side_is_resized_with_antialiasing_and_the_centre_is_cut(tmp_path: Path) -> None:
    (source,) = write(tmp_path / "a", 1, (60, 91))
    data = images(tmp_path / "a", resize=32, crop=21)
    (batch,) = open_samples(data, image(21, 21)).batches(1)
    expected = Image.fromarray(source).resize((48, 32), Image.Resampling.BILINEAR)
    expected = expected.crop((13, 5, 34, 26))
    np.testing.assert_array_equal(batch[0], np.asarray(expected))
    naive = np.asarray(Image.fromarray(source).resize((48, 32), Image.Resampling.NEAREST))
    assert not np.array_equal(batch[0], naive[5:26, 13:34])


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((91, 60), 32, (48, 32)),
        ((60, 91), 32, (32, 48)),
        ((5, 5), 7, (7, 7)),
        ((1000, 1), 3, (3000, 3)),
    ],
)
def test_long_side_is_rounded_down(
    size: tuple[int, int], short: int, expected: tuple[int, int]
) -> None:
    assert resized(size, short) == expected


def test_every_8_bit_mode_becomes_rgb_and_gray_stays_gray(tmp_path: Path) -> None:
    (pixels,) = write(tmp_path / "a", 1)
    picture = Image.fromarray(pixels)
    for mode in ("RGBA", "L", "P", "CMYK", "1", "LA"):
        folder = tmp_path / mode
        folder.mkdir()
        picture.convert(mode).save(folder / f"x.{'tif' if mode == 'CMYK' else 'png'}")
        (batch,) = open_samples(images(folder), image(8, 8)).batches(1)
        assert batch.shape == (1, 8, 8, 3)
    (batch,) = open_samples(images(tmp_path / "a"), image(8, 8, 1)).batches(1)
    np.testing.assert_array_equal(batch[0, :, :, 0], np.asarray(picture.convert("L")))


def test_16_bit_images_are_refused_instead_of_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "x.png")
    assert "more than 8 bits a channel" in refused(images(tmp_path), image(8, 8))


def test_sizes_that_do_not_come_out_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a", 1, (10, 12))
    assert refused(images(tmp_path / "a"), image(10, 10)).startswith(
        "HQ406: 'img_000.png' gives 10 x 12 pixels, but the network takes 10 x 10"
    )
    assert "smaller than crop = 11" in refused(images(tmp_path / "a", crop=11), image(11, 11))


@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_a_damaged_image_is_an_error_that_names_it(tmp_path: Path, content: bytes | str) -> None:
    write(tmp_path / "a", 3, (64, 64))
    file = tmp_path / "a" / "img_001.png"
    file.write_bytes(file.read_bytes()[:900] if isinstance(content, str) else content)
    assert refused(images(tmp_path / "a"), image(64, 64)).startswith(
        "HQ404: 'img_001.png' cannot be decoded"
    )


def test_a_decompression_bomb_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", 1, (64, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 40)
    assert refused(images(tmp_path / "a"), image(64, 64)).startswith("HQ404")


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    assert refused(images(tmp_path), image(8, 8)).startswith("HQ402")
    assert refused(images(tmp_path / "absent"), image(8, 8)).startswith("HQ401")
    (tmp_path / "file").write_text("x")
    assert "is not a folder" in refused(images(tmp_path / "file"), image(8, 8))
    assert refused(images(tmp_path), image(8, 8, 4)).startswith("HQ405")


def test_images_cannot_feed_a_tensor(tmp_path: Path) -> None:
    kind = TensorInput(dims=(3,), low=Fraction(0), high=Fraction(1))
    with pytest.raises(HawqError, match="HQ405"):
        open_samples(images(tmp_path), kind)


def test_synthetic_data_is_not_available(tmp_path: Path) -> None:
    with pytest.raises(HawqError, match="HQ400"):
        open_samples(ZeroShotData(count=4, steps=3, span=SPAN), image(8, 8))


# ---- labels --------------------------------------------------------------------------------------------------------


def labelled(folder: Path, text: str, count: int = 3) -> ImagesData:
    write(folder / "a", count)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return images(folder / "a", labels=str(folder / "labels.csv"))


def test_labels_are_found_by_the_base_name_in_any_order(tmp_path: Path) -> None:
    text = 'name,file,label\n"x, y",deep/er/img_002.png,7\nb,img_000.png, 1 \nc,d\\img_001.png,0\nz,other.png,3\n'
    samples = open_samples(labelled(tmp_path, text), image(8, 8), classes=8)
    assert samples.labels is not None
    assert samples.labels.dtype == np.int64
    np.testing.assert_array_equal(samples.labels, [1, 0, 7])


def test_labels_follow_count(tmp_path: Path) -> None:
    data = labelled(tmp_path, "file,label\nimg_000.png,4\n").replace(count=1)
    labels = open_samples(data, image(8, 8)).labels
    assert labels is not None
    np.testing.assert_array_equal(labels, [4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nimg_000.png,1\n", "HQ407: 2 of 3 images have no label in"),
        ("path,class\nimg_000.png,1\n", "has no columns file and label"),
        ("", "has no columns file and label"),
        ("file,label\nimg_000.png,cat\n", "HQ408: the label in line 2 of"),
        ("file,label\nimg_000.png\n", "HQ408: the label in line 2 of"),
        ("file,label\nimg_000.png,1.0\n", "HQ408: the label in line 2 of"),
        ("file,label\nimg_000.png,\u0663\n", "HQ408: the label in line 2 of"),
        ("file,label\nimg_000.png,1\na/img_000.png,2\n", "lines 2 and 3 of"),
        (
            "file,label\nimg_000.png,1\nimg_001.png,10\nimg_002.png,-1\n",
            "HQ408: 2 labels are outside 0 to 9, the first at line 3 of",
        ),
    ],
)
def test_labels_that_do_not_belong(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(labelled(tmp_path, text), image(8, 8), classes=10)


def test_a_label_file_that_cannot_be_read(tmp_path: Path) -> None:
    data = labelled(tmp_path, "file,label\n")
    assert refused(data.replace(labels=str(tmp_path / "no.csv")), image(8, 8)).startswith("HQ401")
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff\xfe\x00")
    assert refused(data, image(8, 8)).startswith("HQ407")


def test_no_message_quotes_a_label_file(tmp_path: Path) -> None:
    data = labelled(tmp_path, "file,label\nimg_000.png,secret\n")
    assert "secret" not in refused(data, image(8, 8))


# ---- digest --------------------------------------------------------------------------------------------------------


def variants(tmp_path: Path) -> Iterator[tuple[str, ImagesData, ImageInput]]:
    kind = image(8, 8)
    write(tmp_path / "a", 3)
    base = images(tmp_path / "a", crop=8)
    yield "base", base, kind
    yield "count", base.replace(count=2), kind
    yield "resize", base.replace(resize=8), kind
    yield "gray", base, image(8, 8, 1)
    (tmp_path / "l.csv").write_text("file,label\nimg_000.png,1\nimg_001.png,0\nimg_002.png,0\n")
    yield "labels", base.replace(labels=str(tmp_path / "l.csv")), kind
    (tmp_path / "m.csv").write_text("file,label\nimg_000.png,1\nimg_001.png,1\nimg_002.png,0\n")
    yield "other labels", base.replace(labels=str(tmp_path / "m.csv")), kind
    (tmp_path / "a" / "img_000.png").rename(tmp_path / "a" / "img_009.png")
    yield "order", base, kind
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "img_009.png")
    yield "content", base, kind


def test_digest_changes_with_everything_that_changes_pixels_or_labels(tmp_path: Path) -> None:
    digests = {name: data_digest(data, kind) for name, data, kind in variants(tmp_path)}
    assert len(set(digests.values())) == len(digests)


def test_digest_does_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    write(tmp_path / "a", 3)
    before = data_digest(images(tmp_path / "a"), image(8, 8))
    (tmp_path / "a").rename(tmp_path / "b")
    assert data_digest(images(tmp_path / "b"), image(8, 8)) == before
