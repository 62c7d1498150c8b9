"""Between the uint8 codes a spec's input takes and what the network sees, differentiably."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hawqlang.ir.spec import ImageInput, Input
from hawqlang.stages.data.samples import UInt8
from hawqlang.stages.float_model import code_table, pixel_table


@dataclass(frozen=True, slots=True)
class Codes:
    """The affine map from a code to what the network sees for it: ``offset + step · code``."""

    kind: Input
    offset: torch.Tensor
    """``(C, 1, 1)`` of an image, else one number."""
    step: torch.Tensor

    def seen(self, codes: torch.Tensor) -> torch.Tensor:
        """Return what the network sees for real-valued codes ``(N, ...)`` in its own axis and channel order."""
        return self.offset + self.step * codes

    def stored(self, codes: torch.Tensor) -> UInt8:
        """Return the nearest codes as samples are stored: uint8 RGB ``(N, H, W, C)`` of an image."""
        whole = codes.detach().round().clamp(0, 255).to(torch.uint8).numpy()
        if not isinstance(self.kind, ImageInput):
            return whole
        if self.kind.order == "bgr":
            whole = whole[:, ::-1]
        return np.ascontiguousarray(whole.transpose(0, 2, 3, 1))


def codes_of(kind: Input) -> Codes:
    """Return how the codes of a network's input are seen."""
    table = pixel_table(kind) if isinstance(kind, ImageInput) else code_table(kind)[None]
    first, last = torch.from_numpy(table[:, 0]), torch.from_numpy(table[:, -1])
    shape = (-1, 1, 1) if isinstance(kind, ImageInput) else (1,)
    return Codes(kind, first.reshape(shape), ((last - first) / 255).reshape(shape))
