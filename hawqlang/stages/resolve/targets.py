"""``target``: hardware of the catalogue or described in place, and how its latency is known."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Fields, call, fields
from hawqlang.stages.resolve.constants import kind_of, ungroup
from hawqlang.stages.resolve.device_block import device_block
from hawqlang.stages.resolve.devices import device, device_names
from hawqlang.stages.resolve.functions import LATENCIES
from hawqlang.stages.resolve.keys import blocks_of, settings_of
from hawqlang.stages.resolve.read import path, text, whole
from hawqlang.stages.resolve.report import RejectedError, error, removal, unknown
from hawqlang.stages.resolve.scope import Context

Latency: TypeAlias = Literal["modelled", "measured"] | spec.ProfileLatency
_MODELLED: Latency = "modelled"


def target(node: syntax.Declaration, ctx: Context, catalogue: str | None) -> spec.Target:
    """Return a target; one that a shipped file declares carries the catalogue's name.

    Raises:
        RejectedError: where something in it is wrong.
    """
    before = ctx.sink.errors
    name = node.name.text
    body = fields(
        node.body.entries,
        ctx,
        f"target `{name}`",
        node.name.span,
        settings_of("target"),
        blocks_of("target"),
    )
    found = _device(body, ctx, catalogue)
    batch = body.read("batch", whole, 1)
    threads = body.read("threads", whole, 1)
    setting = body.settings.get("threads")
    if setting is not None and found is not None and found.family == "nvidia":
        message = f"`threads` is for CPUs, `{name}` is {_shown(found)}"
        fix = removal(setting.span, ctx.lines, sure=False)
        ctx.sink.reject(error("HQ260", message, setting.span, help="leave it out", fix=fix))
    latency: Latency = body.read("latency", _latency, _MODELLED)
    if ctx.sink.errors > before or found is None:
        raise RejectedError
    return spec.Target(
        name=name, device=found, batch=batch, threads=threads, latency=latency, span=node.name.span
    )


def _shown(found: spec.Device) -> str:
    return "a GPU" if found.name == "custom" else f"a `{found.name}`"


def _device(body: Fields, ctx: Context, catalogue: str | None) -> spec.Device | None:
    block = body.blocks.get("device")
    setting = body.settings.get("device")
    if block is not None:
        described = ctx.sink.attempt(device_block, block, ctx)
        return device(catalogue) if catalogue is not None else described
    if setting is None:
        body.require("device", "device = cpu.x86_64")
        return None
    return ctx.sink.attempt(_catalogue_device, setting.value, ctx)


def _catalogue_device(expr: syntax.Expr, ctx: Context) -> spec.Device:
    expr = ungroup(expr)
    known = device_names()
    match expr:
        case syntax.Name() if expr.text not in ctx.names:
            name = expr.text
        case syntax.Name():
            name = text(expr, ctx)
        case syntax.String() if expr.value in known:
            message = "a device is a name of the catalogue"
            help_ = f"write `{expr.value}` without quotes"
            raise error("HQ230", message, expr.span, help=help_)
        case _:
            message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a device is wanted here"
            raise error("HQ230", message, expr.span, help="`hawqc targets` lists them")
    if name not in known:
        raise unknown("HQ230", f"no device is called `{name}`", name, expr.span, known)
    return device(name)


def _latency(expr: syntax.Expr, ctx: Context) -> Latency:
    arguments = call(expr, ctx, "a source of latencies", LATENCIES)
    match arguments.function:
        case "profile":
            before = ctx.sink.errors
            found = arguments.read("path", path, "")
            if ctx.sink.errors > before:
                raise RejectedError
            return spec.ProfileLatency(path=found, span=expr.span)
        case "measured":
            return "measured"
        case _:
            return "modelled"
