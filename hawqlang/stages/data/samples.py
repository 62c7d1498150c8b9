"""Samples: what calibration, sensitivity and evaluation read, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import ImageInput, Input, TensorInput

UInt8 = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SHOWN = 4
"""Files named in a message before the rest is only counted."""


class Samples(Protocol):
    """Samples on disk. Memory in use does not depend on how many there are."""

    @property
    def labels(self) -> Labels | None:
        """The class of each sample, where it is known."""
        ...

    @property
    def digest(self) -> str:
        """What results computed from the samples depend on: their content and how they are prepared."""
        ...

    def __len__(self) -> int:
        """Return how many samples there are."""
        ...

    def batches(self, size: int) -> Iterator[UInt8]:
        """Yield all samples in order, ``size`` at a time: uint8 RGB pixels ``(N, H, W, C)``.

        For a tensor input they are uint8 codes ``(N, *dims)``.
        """
        ...

    def take(self, indices: Sequence[int]) -> UInt8:
        """Return the samples at ``indices``, in that order."""
        ...


def sample_shape(kind: Input) -> tuple[int, ...]:
    """Return the shape of one sample: ``(H, W, C)`` of an image, else the tensor's dims."""
    match kind:
        case ImageInput():
            return (kind.height, kind.width, kind.channels)
        case TensorInput():
            return kind.dims


def channels_last(batch: UInt8, kind: Input) -> UInt8:
    """Return samples as the integer program takes them: ``(N, H, W, C)``, also of a ``(C, H, W)`` tensor input."""
    if isinstance(kind, TensorInput) and batch.ndim == 4:
        return np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
    return batch


def shown_shape(shape: Sequence[int]) -> str:
    """Return a shape as messages print it."""
    return " x ".join(map(str, shape))


def finding(code: str, message: str, span: Span, help_text: str | None = None) -> HawqError:
    """Return the error of one diagnostic."""
    return HawqError(
        Diagnostic(code=code, severity="error", message=message, span=span, help=help_text)
    )


def check_count(found: int, wanted: int | None, what: str, span: Span) -> int:
    """Return how many samples to use; asking for more than there are, or having none, is an error."""
    if found == 0:
        raise finding("HQ402", f"{what} holds no samples", span)
    if wanted is not None and wanted > found:
        raise finding(
            "HQ403",
            f"count = {wanted}, but {what} holds {found}",
            span,
            f"write count = {found}, or leave count out to use all",
        )
    return found if wanted is None else wanted


def check_labels(
    labels: npt.NDArray[Any], classes: int | None, span: Span, position: Sequence[str] | None = None
) -> Labels:
    """Return labels as int64 after checking that they are classes of the network.

    ``position`` says, per label, where it was read.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise finding(
            "HQ408",
            f"the labels are of type {labels.dtype}, not whole numbers",
            span,
            "store class numbers from 0",
        )
    high = np.iinfo(np.int64).max if classes is None else classes - 1
    wrong = np.flatnonzero((labels < 0) | (labels > high))
    if len(wrong):
        first = int(wrong[0])
        where = f"label {first}" if position is None else position[first]
        limit = "below 0" if classes is None else f"outside 0 to {high}"
        raise finding(
            "HQ408",
            f"{len(wrong)} labels are {limit}, the first at {where}",
            span,
            "labels are class numbers from 0",
        )
    return labels.astype(np.int64)
