"""An artifact that Python code has built and holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawqlang.backend.protocol import Array
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.bundle import Manifest
from hawqlang.ir.plan import BitPlan


@dataclass(frozen=True)
class Compiled:
    """An artifact on disk, loaded: calling it runs the integer program."""

    folder: Path
    manifest: Manifest
    plan: BitPlan
    """Every layer's precision, and what the whole takes up."""
    warnings: tuple[Diagnostic, ...]
    _answers: Callable[[Any], Array]

    def __call__(self, images: Any) -> Array:
        """Return int32 logits ``(N, F)``.

        Args:
            images: uint8 pixels ``(N, H, W, C)``, or the codes of a declared tensor, as an array or a tensor on
                the CPU. One common scale makes real logits of the result: it is in the manifest.
        """
        return self._answers(images)
