"""``emit``: what to generate, and which back end where nothing says so."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, get_args

from hawqlang.base import Span
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Fields, fields, twice
from hawqlang.stages.resolve.keys import settings_of
from hawqlang.stages.resolve.read import identifier, listed, whole
from hawqlang.stages.resolve.report import error, unknown, warning
from hawqlang.stages.resolve.scope import Context

What: TypeAlias = Literal["tvm", "cuda", "c", "onnx", "card", "report"]

KINDS: tuple[What, ...] = get_args(What)
_CODE: tuple[What, ...] = ("tvm", "cuda", "c", "onnx")
_DEFERRED: tuple[What, ...] = ("c", "onnx", "report")
_CPU = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SM = re.compile(r"sm_([0-9]+)([0-9])a?")
DEFAULT_OPSET = 21
_OLDEST_OPSET = 13


def emits(
    statements: tuple[syntax.Emit, ...],
    ctx: Context,
    device: spec.Device | None,
    head: Span,
    *,
    buildable: bool = True,
) -> tuple[spec.Emit, ...]:
    """Return what to generate; without code among it, the back end of the device comes first.

    A table of layers is not ``buildable``: no code comes of it, so none is implied.
    """
    found: dict[What, spec.Emit] = {}
    places: dict[What, Span] = {}
    for statement in statements:
        for name in statement.names:
            what = _kind(name, ctx)
            if what is None:
                continue
            if what in found:
                again = twice(f"`emit {what}`", "the block", name.span, places[what])
                ctx.sink.reject(again)
                continue
            found[what] = _emit(what, statement, name, ctx, device)
            places[what] = name.span
            if what in _DEFERRED:
                ctx.defer(f"emit {what}", name.span)
    chosen = tuple(found.values())
    if device is None or not buildable or any(emit.what in _CODE for emit in chosen):
        return chosen
    return (_implied(device, ctx, head), *chosen)


def _kind(name: syntax.Name, ctx: Context) -> What | None:
    for kind in KINDS:
        if name.text == kind:
            return kind
    message = f"`{name.text}` is nothing that can be emitted"
    ctx.sink.reject(unknown("HQ210", message, name.text, name.span, KINDS))
    return None


def _emit(
    what: What,
    statement: syntax.Emit,
    name: syntax.Name,
    ctx: Context,
    device: spec.Device | None,
) -> spec.Emit:
    entries = statement.body.entries if statement.body is not None else ()
    body = fields(entries, ctx, f"`emit {what}`", name.span, settings_of(f"emit {what}"))
    cpu, arch, opset = _defaults(what, device)
    emit = spec.Emit(
        what=what,
        cpu=body.read("cpu", identifier, cpu, _CPU, "a CPU name such as `native`"),
        arch=body.read("arch", _archs, arch),
        opset=body.read("opset", whole, opset, _OLDEST_OPSET, 99),
        span=name.span,
    )
    if device is not None:
        _warn(emit, body, device, ctx, name.span)
    return emit


def _defaults(
    what: What, device: spec.Device | None
) -> tuple[str | None, tuple[str, ...], int | None]:
    """Return the ``cpu``, ``arch`` and ``opset`` that a target stands for where none are given."""
    arch = device.arch if device is not None else None
    match what:
        case "tvm":
            on_cpu = device is not None and device.family == "cpu" and arch is not None
            return (arch if on_cpu else "x86_64"), (), None
        case "cuda":
            on_gpu = device is not None and device.family == "nvidia" and arch is not None
            return None, ((arch,) if on_gpu and arch is not None else ()), None
        case "onnx":
            return None, (), DEFAULT_OPSET
        case "c" | "card" | "report":
            return None, (), None


def _archs(expr: syntax.Expr, ctx: Context) -> tuple[str, ...]:
    found = listed(expr, ctx, "architectures", _arch)
    if not found:
        raise error("HQ209", "the list of architectures is empty", expr.span)
    return found


def _arch(expr: syntax.Expr, ctx: Context) -> str:
    return identifier(expr, ctx, _SM, "a CUDA architecture such as `sm_80`")


def _implied(device: spec.Device, ctx: Context, head: Span) -> spec.Emit:
    what: What = "cuda" if device.family == "nvidia" else "tvm"
    if what in _DEFERRED:
        ctx.defer(f"emit {what}", head)
    cpu, arch, opset = _defaults(what, device)
    return spec.Emit(what=what, cpu=cpu, arch=arch, opset=opset, span=None)


def _warn(emit: spec.Emit, body: Fields, device: spec.Device, ctx: Context, span: Span) -> None:
    """Warn about a back end whose code cannot run on the target."""
    shown = f"`{device.name}`" if device.name != "custom" else "the target's device"
    if emit.what == "tvm" and device.family == "nvidia":
        message = f"`emit tvm` generates CPU code, which cannot run on {shown}"
        ctx.sink.warn(warning("HQ254", message, span, help="write `emit cuda`"))
    if emit.what != "cuda":
        return
    if device.family == "cpu":
        message = f"`emit cuda` generates GPU code, which cannot run on {shown}"
        ctx.sink.warn(warning("HQ254", message, span, help="write `emit tvm`"))
    setting, present = body.settings.get("arch"), device.arch
    if device.family != "nvidia" or setting is None or present is None:
        return
    if not any(_runs(arch, present) for arch in emit.arch):
        message = f"none of these architectures runs on {shown}, which is {present}"
        ctx.sink.warn(warning("HQ254", message, setting.span, help=f"add `{present}`"))


def _runs(arch: str, device_arch: str) -> bool:
    """Return whether a binary for ``arch`` runs on a device: same major version, no newer minor."""
    built, present = _SM.fullmatch(arch), _SM.fullmatch(device_arch)
    if built is None or present is None:
        return False
    if arch.endswith("a"):
        return arch == device_arch
    return built[1] == present[1] and int(built[2]) <= int(present[2])
