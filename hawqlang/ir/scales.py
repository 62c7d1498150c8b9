"""ScaleTable: the real scale behind each stored tensor: for reports, manifests and comparison with the float model."""

from __future__ import annotations

from hawqlang.base import Frozen


class TensorScale(Frozen):
    """``x ≈ scale · (q − zero_point)`` for the float value ``value``."""

    tensor: str
    value: str
    """The graph's value that the tensor stands for."""
    scale: float
    zero_point: int


class ScaleTable(Frozen):
    """Scales of one program, in order of its tensors; int32 partial sums are listed too."""

    scales: tuple[TensorScale, ...]

    def scale(self, tensor: str) -> float:
        """Return the scale of the stored tensor called ``tensor``."""
        return next(s.scale for s in self.scales if s.tensor == tensor)
