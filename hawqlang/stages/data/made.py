"""Samples that Python code makes: ``python("package.module:factory", …)``, only where the user trusts the spec.

The factory gives samples as one array ``(N, …)``, as a pair of samples and labels, or as a sequence of samples or of
(sample, label) pairs, such as a ``torch.utils.data.Dataset``. A sample is what an array of ``arrays(…)`` holds: uint8
pixels ``(H, W, C)``, or a tensor input's codes or real values. Tensors of torch and images of Pillow count as arrays,
and uint8 images may have their channels first.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hawqlang.cache import digest
from hawqlang.ir.spec import ImageInput, Input, PythonData
from hawqlang.stages.data.arrays import to_codes
from hawqlang.stages.data.samples import (
    Labels,
    UInt8,
    check_count,
    check_labels,
    finding,
    sample_shape,
    shown_shape,
)
from hawqlang.stages.user_code import CALL_FAILED, called, telling

MOST = 2**20
"""Samples of the longest sequence that is gone through: one without an end would never be."""

ARRAYS = "calibration.npz"
"""Where an artifact keeps samples that no file holds: ``x`` and, where they are known, the classes ``y``."""


@dataclass(frozen=True)
class MadeSamples:
    """Samples in memory."""

    images: UInt8
    labels: Labels | None
    digest: str
    """Of the samples' bytes."""

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self.images)

    def batches(self, size: int) -> Iterator[UInt8]:
        """Yield all samples in order, ``size`` at a time."""
        return (self.images[a : a + size] for a in range(0, len(self.images), size))

    def take(self, indices: Sequence[int]) -> UInt8:
        """Return the samples at ``indices``, in that order."""
        return self.images[list(indices)]


def open_made(data: PythonData, kind: Input, classes: int | None) -> MadeSamples:
    """Return the samples that the code of a spec makes.

    Raises:
        HawqError: The code fails (HQ342), or gives no samples of the network's size (HQ402 to HQ415).
    """

    def use(made: object) -> tuple[list[Any], list[Any] | None]:
        with telling(data.call.factory, data.call.folder, data.span, CALL_FAILED):
            return _columns(made)

    samples, labels = called(data.call, data.span, use)
    check_count(len(samples), None, f"'{data.call.factory}'", data.span)
    images = _images([as_array(sample) for sample in samples], data, kind)
    return MadeSamples(
        images,
        None if labels is None else _labels(labels, len(images), data, classes),
        digest("made", images.shape, images.tobytes()),
    )


def write_arrays(folder: Path, images: UInt8, labels: Labels | None) -> None:
    """Write samples to an artifact's folder, with the same bytes every time."""
    arrays = {"x": images} if labels is None else {"x": images, "y": labels}
    with zipfile.ZipFile(folder / ARRAYS, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.save(data, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data.getvalue())


def _columns(made: object) -> tuple[list[Any], list[Any] | None]:
    """Return samples and labels as two lists, whichever way they were given."""
    if isinstance(made, tuple) and len(cast("tuple[object, ...]", made)) == 2:
        samples, labels = cast("tuple[Any, Any]", made)
        return list(samples), list(labels)
    rows = list(islice(cast("Iterable[Any]", made), MOST))
    if rows and all(
        isinstance(row, tuple | list) and len(cast("list[Any]", row)) == 2 for row in rows
    ):
        return [row[0] for row in rows], [row[1] for row in rows]
    return rows, None


def as_array(sample: Any) -> npt.NDArray[Any]:
    """Return a sample as an array; tensors and images convert themselves."""
    return np.asarray(sample.detach().cpu() if hasattr(sample, "detach") else sample)


def _images(samples: list[npt.NDArray[Any]], data: PythonData, kind: Input) -> UInt8:
    """Return samples as the network's input takes them."""
    shape = sample_shape(kind)
    image = isinstance(kind, ImageInput)
    found: list[npt.NDArray[Any]] = []
    for i, sample in enumerate(samples):
        if sample.dtype != np.uint8 and (image or sample.dtype.kind != "f"):
            raise finding(
                "HQ405",
                f"sample {i} of '{data.call.factory}' holds {sample.dtype}, not uint8",
                data.span,
                "give pixels from 0 to 255; the compiler normalises them as image(…) says"
                if image
                else "give uint8 codes, or real numbers as float32",
            )
        turned = _turned(sample, shape, image=image)
        if turned is None:
            raise finding(
                "HQ406",
                f"sample {i} of '{data.call.factory}' has shape {shown_shape(sample.shape)}, "
                f"but the network takes {shown_shape(shape)}",
                data.span,
            )
        found.append(turned if sample.dtype == np.uint8 else _codes(turned, i, data, kind))
    return np.ascontiguousarray(np.stack(found))


def _codes(values: npt.NDArray[Any], i: int, data: PythonData, kind: Input) -> UInt8:
    if not np.isfinite(values).all() or isinstance(kind, ImageInput):
        message = f"sample {i} of '{data.call.factory}' holds NaN or infinity"
        raise finding("HQ409", message, data.span)
    return to_codes(values, kind)


def _turned(
    sample: npt.NDArray[Any], shape: tuple[int, ...], *, image: bool
) -> npt.NDArray[Any] | None:
    """Return a sample in the network's shape; ``None`` where it has another."""
    if sample.shape == shape:
        return sample
    if image and shape[-1] == 1 and sample.shape == shape[:-1]:
        return sample[..., None]
    if image and sample.shape == (shape[2], shape[0], shape[1]):
        return sample.transpose(1, 2, 0)
    return None


def _labels(labels: list[Any], count: int, data: PythonData, classes: int | None) -> Labels:
    numbers = [as_array(label) for label in labels]
    if len(numbers) != count or any(number.shape != () for number in numbers):
        raise finding(
            "HQ407",
            f"'{data.call.factory}' gives {len(numbers)} labels for {count} samples, or labels that are no numbers",
            data.span,
            "labels are one class number per sample",
        )
    return check_labels(np.array(numbers), classes, data.span)
