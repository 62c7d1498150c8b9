"""Latencies that were measured: the file behind ``latency = profile("…")``.

Nothing of the file is quoted in a diagnostic.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from hawqlang.base import Precision, Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.profile import Profile
from hawqlang.ir.spec import ProfileLatency, Target
from hawqlang.stages.candidates.costs import exact

Latencies = dict[tuple[str, Precision], Fraction]
"""By layer and precision, in seconds."""

LARGEST_FILE = 64 * 2**20
MICROSECONDS = 1_000_000
_PRECISION = re.compile(r"w([1-9]|1[0-6])a([1-9]|1[0-6])")


def profiled(target: Target, table: LayerTable) -> Latencies | None:
    """Return the latencies of a target's profile, ``None`` where it has none.

    What the profile does not say is modelled.

    Raises:
        HawqError: the file cannot be read or has another form (HQ427), was measured with another batch or number of
            threads (HQ428), or knows layers that the model does not have (HQ429).
    """
    source = target.latency
    if not isinstance(source, ProfileLatency):
        return None
    span = source.span or target.span
    profile = _read(Path(source.path), span)
    if (profile.batch, profile.threads) != (target.batch, target.threads):
        raise HawqError(_of_other_settings(profile, target, span))
    names = {layer.name for layer in table.layers}
    strangers = sum(layer.name not in names for layer in profile.layers)
    if strangers:
        raise HawqError(_of_other_layers(strangers, len(profile.layers), span))
    return _by_layer(profile, span)


def latencies(
    target: Target, table: LayerTable, measured: Profile | None
) -> tuple[Latencies | None, bool]:
    """Return the latencies that come before the device's model, and whether there are all that the target asks for.

    Args:
        target: Says where latencies come from.
        table: The layers; those of a layer table may bring latencies of their own.
        measured: What was measured, where the target asks for it and it has been.

    Raises:
        HawqError: the target's profile is at fault (HQ427 to HQ429).
    """
    if target.latency != "measured":
        return profiled(target, table), True
    if measured is None:
        return None, all(layer.latency_us for layer in table.layers)
    return _by_layer(measured, target.span), True


def _by_layer(profile: Profile, span: Span) -> Latencies:
    return {
        (layer.name, _precision(text, span)): _seconds(microseconds, span)
        for layer in profile.layers
        for text, microseconds in layer.latency_us.items()
    }


def _read(path: Path, span: Span) -> Profile:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise HawqError(_malformed("is larger than 64 MiB", span))
        return Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise HawqError(_malformed(f"cannot be read: {error.strerror}", span)) from error
    except ValidationError as error:
        raise HawqError(_malformed("is not what `hawqc profile` writes", span)) from error


def _precision(text: str, span: Span) -> Precision:
    found = _PRECISION.fullmatch(text)
    if found is None:
        raise HawqError(_malformed("rates something that is not a precision", span))
    return Precision(wbits=int(found[1]), abits=int(found[2]))


def _seconds(microseconds: float, span: Span) -> Fraction:
    if not (math.isfinite(microseconds) and microseconds >= 0):
        raise HawqError(_malformed("holds a time that is negative or not finite", span))
    return exact(microseconds) / MICROSECONDS


def _malformed(what: str, span: Span) -> Diagnostic:
    return Diagnostic(
        code="HQ427",
        severity="error",
        message=f"the profile {what}",
        span=span,
        help="write one with `hawqc profile FILE -o profile.json`",
    )


def _of_other_settings(profile: Profile, target: Target, span: Span) -> Diagnostic:
    return Diagnostic(
        code="HQ428",
        severity="error",
        message=f"the profile was measured with batch {profile.batch} and {profile.threads} threads,"
        f" the target has batch {target.batch} and {target.threads}",
        span=span,
        help="profile again, or set `batch` and `threads` to what was measured",
    )


def _of_other_layers(strangers: int, total: int, span: Span) -> Diagnostic:
    return Diagnostic(
        code="HQ429",
        severity="error",
        message=f"the profile times {strangers} of its {total} layers in vain: the model does not have them",
        span=span,
        help="it is of another network; profile this one",
    )
