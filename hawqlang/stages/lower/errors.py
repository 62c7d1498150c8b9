"""The diagnostics of lowering."""

from __future__ import annotations

from hawqlang.diagnostics import Diagnostic, HawqError


def _error(code: str, message: str, advice: str, *notes: str) -> HawqError:
    return HawqError(
        Diagnostic(code=code, severity="error", message=message, help=advice, notes=notes)
    )


def accumulator_overflow(name: str, channel: int, bound: int, limit: int, kind: str) -> HawqError:
    """Return the error of a layer whose sums may not fit its accumulator."""
    return _error(
        "HQ601",
        f"the sums of '{name}' can reach {bound} in channel {channel}, which {kind} does not hold",
        "give the layer fewer weight or activation bits, or a wider accumulator",
        f"{kind} holds magnitudes up to {limit}; the bound holds for any input and order of sums",
    )


def unsupported_width(what: str, bits: int, least: int) -> HawqError:
    """Return the error of a width that integer programs do not have."""
    return _error(
        "HQ602",
        f"{what} of {bits} bits have no integer form in this version",
        f"choose {least} to 16 bits",
    )


def missing_range(value: str, bits: int) -> HawqError:
    """Return the error of a tensor that was not calibrated at a width."""
    return _error(
        "HQ603",
        f"the range of '{value}' at {bits} bits was not calibrated",
        "calibrate with every width that the layers may read as a candidate",
    )


def ratio_too_large(name: str, ratio: float) -> HawqError:
    """Return the error of two scales too far apart for one multiplier and shift."""
    return _error(
        "HQ604",
        f"'{name}' would have to scale its result up by {ratio:.3g}",
        "calibrate on images like those the network will see: a range is almost empty",
    )


def order_lost(name: str, why: str) -> HawqError:
    """Return the error of an operator that needs channels in the model's own order."""
    return _error(
        "HQ605",
        f"'{name}' needs its channels in the model's order, but {why}",
        "end the network in a vector, and feed bgr images into an ungrouped convolution",
    )


def result_overflow(name: str, tensor: str, bound: int, limit: int) -> HawqError:
    """Return the error of a rescaled value that may not fit its register."""
    return _error(
        "HQ606",
        f"the result '{tensor}' of '{name}' can reach {bound} before it is clamped",
        "calibrate on images like those the network will see: a range is almost empty",
        f"the largest value allowed is {limit}",
    )


def missing_values(parameter: str) -> HawqError:
    """Return the error of a graph that was imported without weights."""
    return _error(
        "HQ607",
        f"the values of '{parameter}' were not read",
        "give the model its weights: weights = file(...)",
    )


def not_finite(name: str) -> HawqError:
    """Return the error of weights that are infinite or not numbers."""
    return _error(
        "HQ608",
        f"the parameters of '{name}' contain infinities or NaN",
        "check the weight file: training may have diverged",
    )


def clamp_across_padding(name: str) -> HawqError:
    """Return the error of a clamp that excludes the zeros a padding adds before it."""
    return _error(
        "HQ610",
        f"'{name}' pads with zeros that a later clamp excludes",
        "move the clamp before the padding, or let its range include 0",
    )
