"""The program's own input: uint8 pixels, or codes of a declared real range."""

from __future__ import annotations

from fractions import Fraction

from hawqlang.ir.spec import ImageInput, Input, TensorInput
from hawqlang.stages.quantize import QuantParams


def entry_params(source: Input) -> QuantParams:
    """Return scale and zero point of the program's input; a pixel stands for itself."""
    if isinstance(source, ImageInput):
        return QuantParams(1.0, 0, 0, 255, signed=False)
    return code_params(source)


def code_params(source: TensorInput) -> QuantParams:
    """Return scale and zero point of a tensor input's uint8 codes; its range is widened to include 0."""
    low, high = min(source.low, Fraction(0)), max(source.high, Fraction(0))
    scale = (high - low) / 255
    return QuantParams(float(scale), min(max(round(-low / scale), 0), 255), 0, 255, signed=False)
