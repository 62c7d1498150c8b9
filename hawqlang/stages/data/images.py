"""Samples from a folder of image files, decoded when they are asked for."""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from hawqlang.base import Span
from hawqlang.ir.spec import ImageInput, ImagesData
from hawqlang.stages.data.samples import (
    SHOWN,
    Labels,
    UInt8,
    check_count,
    check_labels,
    finding,
    sample_shape,
    shown_shape,
)

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

_WIDE_MODES = ("I", "F")
"""Prefixes of Pillow modes with more than 8 bits a channel; converting those would clip."""


@dataclass(frozen=True)
class ImageSamples:
    """Image files in order of their names."""

    files: tuple[Path, ...]
    kind: ImageInput
    resize: int | None
    crop: int | None
    labels: Labels | None
    span: Span

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.files)

    @property
    def digest(self) -> str:
        """The files' names and bytes, the labels, and how pixels are made of them."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        h = hashlib.sha256(repr((self.resize, self.crop, sample_shape(self.kind))).encode())
        for file in self.files:
            with file.open("rb") as stream:
                h.update(file.name.encode(errors="surrogateescape"))
                h.update(hashlib.file_digest(stream, "sha256").digest())
        h.update(b"" if self.labels is None else self.labels.tobytes())
        return h.hexdigest()

    def batches(self, size: int) -> Iterator[UInt8]:
        """Yield all images in order, ``size`` at a time, uint8 RGB ``(N, H, W, C)``."""
        for start in range(0, len(self.files), size):
            yield np.stack([self._decoded(file) for file in self.files[start : start + size]])

    def take(self, indices: Sequence[int]) -> UInt8:
        """Return the images at ``indices``, in that order."""
        if not len(indices):
            return np.zeros((0, *sample_shape(self.kind)), dtype=np.uint8)
        return np.stack([self._decoded(self.files[i]) for i in indices])

    def _decoded(self, file: Path) -> UInt8:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file) as image:
                    if image.mode.startswith(_WIDE_MODES):
                        raise finding(
                            "HQ405",
                            f"'{file.name}' has more than 8 bits a channel (mode {image.mode})",
                            self.span,
                            "convert the images to 8 bits a channel",
                        )
                    pixels = image.convert("L" if self.kind.channels == 1 else "RGB")
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise finding(
                "HQ404",
                f"'{file.name}' cannot be decoded: damaged, or no image",
                self.span,
                "remove the file, or get it again",
            ) from error
        array = np.asarray(self._cut(pixels, file))
        return array.reshape(*array.shape[:2], self.kind.channels)

    def _cut(self, image: Image.Image, file: Path) -> Image.Image:
        """Return the image with its short side at ``resize`` and its centre cut out."""
        if self.resize is not None:
            image = image.resize(resized(image.size, self.resize), Image.Resampling.BILINEAR)
        width, height = image.size
        if self.crop is not None:
            if self.crop > min(width, height):
                raise finding(
                    "HQ406",
                    f"'{file.name}' is {height} x {width}, smaller than crop = {self.crop}",
                    self.span,
                    f"add resize = {self.crop} or more",
                )
            left, top = (width - self.crop) // 2, (height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        wanted = (self.kind.height, self.kind.width)
        if (image.height, image.width) != wanted:
            raise finding(
                "HQ406",
                f"'{file.name}' gives {image.height} x {image.width} pixels, "
                f"but the network takes {shown_shape(wanted)}",
                self.span,
                "set resize and crop so that every image comes out at the network's size",
            )
        return image


def resized(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Return (width, height) with the short side at ``short``; the long side is rounded down."""
    width, height = size
    if width <= height:
        return short, max(1, short * height // width)
    return max(1, short * width // height), short


def open_images(data: ImagesData, kind: ImageInput, classes: int | None) -> ImageSamples:
    """Return the images of a folder; nothing is decoded yet."""
    folder = Path(data.folder)
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "is not there"
        raise finding("HQ401", f"image folder '{data.folder}' {problem}", data.span)
    if kind.channels not in (1, 3):
        raise finding(
            "HQ405",
            f"images have 1 or 3 channels, the network takes {kind.channels}",
            data.span,
            "give the samples as arrays(…)",
        )
    found = sorted(
        (f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()),
        key=lambda f: f.name,
    )
    count = check_count(len(found), data.count, f"image folder '{data.folder}'", data.span)
    files = tuple(found[:count])
    labels = None if data.labels is None else _labels(data.labels, files, classes, data.span)
    return ImageSamples(
        files=files,
        kind=kind,
        resize=data.resize,
        crop=data.crop,
        labels=labels,
        span=data.span,
    )


def _labels(path: str, files: Sequence[Path], classes: int | None, span: Span) -> Labels:
    """Return the label of every file, by its name in the column ``file`` of a CSV."""
    known = _read_csv(path, span)
    missing = [file.name for file in files if file.name not in known]
    if missing:
        rest = len(missing) - SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        raise finding(
            "HQ407",
            f"{len(missing)} of {len(files)} images have no label in '{path}': "
            f"{', '.join(missing[:SHOWN])}{more}",
            span,
            "every image needs a row; the column file is compared by its last part",
        )
    rows = [known[file.name] for file in files]
    values = np.array([value for value, _ in rows], dtype=np.int64)
    return check_labels(values, classes, span, [f"line {line} of '{path}'" for _, line in rows])


def _read_csv(path: str, span: Span) -> dict[str, tuple[int, int]]:
    """Return label and line by the base name of each file."""
    known: dict[str, tuple[int, int]] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise finding(
                    "HQ407",
                    f"'{path}' has no columns file and label",
                    span,
                    "its first line names the columns: file,label",
                )
            for row in rows:
                line = rows.line_num
                name = (row["file"] or "").replace("\\", "/").rsplit("/", 1)[-1]
                label = _whole(row["label"], path, line, span)
                if known.setdefault(name, (label, line))[0] != label:
                    raise finding(
                        "HQ407",
                        f"lines {known[name][1]} and {line} of '{path}' give one file two labels",
                        span,
                    )
    except OSError as error:
        problem = error.strerror or "it cannot be read"
        raise finding("HQ401", f"label file '{path}': {problem}", span) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise finding("HQ407", f"'{path}' is not a CSV file", span) from error
    return known


def _whole(text: str | None, path: str, line: int, span: Span) -> int:
    stripped = (text or "").strip()
    if not (stripped.isascii() and stripped.lstrip("-").isdigit() and len(stripped) < 10):
        raise finding("HQ408", f"the label in line {line} of '{path}' is no class number", span)
    return int(stripped)
