"""Spec data → samples: images in a folder or arrays in a file, streamed as uint8."""

from __future__ import annotations

from typing import assert_never

from hawqlang.ir.spec import (
    ArraysData,
    Data,
    ImagesData,
    Input,
    PythonData,
    TensorInput,
    ZeroShotData,
)
from hawqlang.stages.data.arrays import open_arrays
from hawqlang.stages.data.images import open_images
from hawqlang.stages.data.samples import Samples, channels_last, finding

__all__ = ["Samples", "channels_last", "data_digest", "open_samples"]


def open_samples(
    data: Data, network_input: Input, *, classes: int | None = None, trust: bool = False
) -> Samples:
    """Return the samples a spec names, prepared for a network's input; they are read when asked for.

    Args:
        data: Where they are.
        network_input: What the network takes; every sample must come out at its size.
        classes: How many classes the network knows; a label beyond is an error.
        trust: Whether code may run that the data names.

    Raises:
        HawqError: a file is missing, of another kind or size, or does not fit its labels (HQ401 to HQ409).
    """
    match data:
        case ImagesData():
            if isinstance(network_input, TensorInput):
                raise finding(
                    "HQ405",
                    "image files cannot feed a network that takes a tensor",
                    data.span,
                    "declare input = image(…), or give the samples as arrays(…)",
                )
            return open_images(data, network_input, classes)
        case ArraysData():
            return open_arrays(data, network_input, classes)
        case ZeroShotData():
            raise finding(
                "HQ400",
                "zero_shot samples are made from a network, by a build; there are none to read",
                data.span,
                "use images(…) or arrays(…)",
            )
        case PythonData():
            if not trust:
                raise finding(
                    "HQ400",
                    f"samples are made by Python code, '{data.call.factory}', which is not run here",
                    data.span,
                    "give another set: --data PATH",
                )
            from hawqlang.stages.data.made import open_made

            return open_made(data, network_input, classes)
        case _:
            assert_never(data)


def data_digest(data: Data, network_input: Input) -> str:
    """Return what results computed from the samples depend on."""
    return open_samples(data, network_input).digest
