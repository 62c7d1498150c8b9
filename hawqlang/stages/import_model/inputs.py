"""The shape a model's declared input has inside the network."""

from __future__ import annotations

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import ImageInput, Model, TensorInput


def input_shape(model: Model) -> tuple[int, ...]:
    """Return ``(C, H, W)`` of an image, or a tensor's own dims; without batch."""
    match model.input:
        case ImageInput() as image:
            return (image.channels, image.height, image.width)
        case TensorInput() as tensor:
            return tensor.dims
        case None:
            raise HawqError(
                Diagnostic(
                    code="HQ313",
                    severity="error",
                    message=f"model '{model.name}' declares no input",
                    span=model.span,
                    help="say what it reads, such as input = image(224, 224)",
                )
            )
