"""``device { … }``: hardware described in place."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

from hawqlang.base import Precision
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Fields, fields, twice
from hawqlang.stages.resolve.keys import blocks_of, settings_of
from hawqlang.stages.resolve.read import identifier, positive_quantity, precisions, quantity
from hawqlang.stages.resolve.report import RejectedError, choices, error
from hawqlang.stages.resolve.scope import Context, precision_word

_SM = re.compile(r"sm_[0-9]{2,3}a?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def device_block(block: syntax.Block, ctx: Context) -> spec.Device:
    """Return the device a ``device { … }`` block describes.

    ``arch`` (``sm_75``, or a CPU name such as ``x86_64``) says what a back end compiles for;
    without it the family is ``custom``.
    """
    before = ctx.sink.errors
    body = fields(
        block.body.entries,
        ctx,
        "the `device` block",
        block.name.span,
        settings_of("device"),
        blocks_of("device"),
    )
    body.require("native", "native = [w8a8]")
    body.require("bandwidth", "bandwidth = 320 GB/s")
    native = body.read("native", precisions, ())
    rates = _rates(body, ctx, native)
    bandwidth = body.read("bandwidth", positive_quantity, Fraction(1), "size/s")
    cache = body.read("cache", positive_quantity, None, "size")
    launch = body.read("launch", _duration, Fraction(0))
    arch = body.read("arch", identifier, None, _WORD, "an architecture such as `sm_75`")
    if ctx.sink.errors > before:
        raise RejectedError
    return spec.Device(
        name="custom",
        family=_family(arch),
        native=native,
        rates=rates,
        bandwidth=bandwidth,
        cache=cache,
        launch=launch,
        arch=arch,
    )


def _family(arch: str | None) -> Literal["cpu", "nvidia", "custom"]:
    if arch is None:
        return "custom"
    return "nvidia" if _SM.fullmatch(arch) else "cpu"


def _duration(expr: syntax.Expr, ctx: Context) -> Fraction:
    """Return a time of zero or more."""
    value = quantity(expr, ctx, "time")
    if value < 0:
        raise error("HQ209", f"`{ctx.quote(expr.span)}` is below zero", expr.span)
    return value


def _rates(
    body: Fields, ctx: Context, native: tuple[Precision, ...]
) -> tuple[tuple[Precision, Fraction], ...]:
    """Return the rate of every native precision in their order, then those given for others."""
    block = body.blocks.get("rates")
    found: dict[Precision, Fraction] = {}
    places: dict[Precision, syntax.Setting] = {}
    broken = False
    for entry in block.body.entries if block is not None else ():
        if isinstance(entry, syntax.Block):
            message = f"`rates` has no block `{entry.name.text}`"
            ctx.sink.reject(error("HQ205", message, entry.name.span, help="write `w8a8 = …`"))
            continue
        key = ctx.sink.attempt(_rated, entry.name)
        value = ctx.sink.attempt(positive_quantity, entry.value, ctx, "macs/s")
        if key is None or value is None:
            broken = True
        elif key in found:
            ctx.sink.reject(twice(f"`{key}`", "`rates`", entry.name.span, places[key].name.span))
        else:
            found[key], places[key] = value, entry
    missing = [str(key) for key in native if key not in found]
    if missing and not broken and not ctx.sink.partial:
        span = body.settings["native"].span if block is None else block.name.span
        message = f"the native precision{'s' * (len(missing) > 1)} {choices(missing)} has no rate"
        help_ = f"add `{missing[0]} = 65 TMACs/s` to `rates`"
        ctx.sink.reject(error("HQ207", message, span, help=help_))
    order = [key for key in native if key in found]
    order += [key for key in found if key not in native]
    return tuple((key, found[key]) for key in order)


def _rated(name: syntax.Name) -> Precision:
    found = precision_word(name.text, name.span)
    if found is None:
        message = f"`{name.text}` is not a precision, rates are given by precision"
        raise error("HQ205", message, name.span, help="write `w8a8 = 65 TMACs/s`")
    return found
