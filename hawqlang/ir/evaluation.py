"""Evaluation: what an integer program answers beside the float network it came from."""

from __future__ import annotations

from hawqlang.base import Frozen, TensorRef


class Predictions(Frozen):
    """Top-1 classes of a network on a data set, int64 ``(N,)``."""

    top1: TensorRef


class Evaluation(Frozen):
    """Shares are in the range 0 to 1; ``None`` where labels or the float network are not at hand."""

    n: int
    accuracy: float | None
    fp32_accuracy: float | None
    agreement: float | None
    """Share of inputs whose top-1 equals FP32's."""
    drop_stderr: float | None = None
    """Standard error of the paired difference ``fp32_accuracy − accuracy``."""

    @property
    def drop(self) -> float | None:
        """Return FP32 minus integer accuracy."""
        if self.accuracy is None or self.fp32_accuracy is None:
            return None
        return self.fp32_accuracy - self.accuracy
