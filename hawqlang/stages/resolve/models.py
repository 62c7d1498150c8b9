"""``model``: a network, its weights, and what goes into it."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, TypeAlias

from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Arguments, Fields, call, fields
from hawqlang.stages.resolve.functions import INPUTS, SOURCES, WEIGHT_FILES
from hawqlang.stages.resolve.keys import settings_of
from hawqlang.stages.resolve.read import (
    items,
    listed,
    number,
    path,
    positive,
    text,
    whole,
    word,
)
from hawqlang.stages.resolve.report import RejectedError, error, removal
from hawqlang.stages.resolve.scope import Context

Order: TypeAlias = Literal["rgb", "bgr"]
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def model(node: syntax.Declaration, ctx: Context) -> spec.Model:
    """Return a model.

    Raises:
        RejectedError: where something in it is wrong.
    """
    before = ctx.sink.errors
    name = node.name.text
    body = fields(node.body.entries, ctx, f"model `{name}`", node.name.span, settings_of("model"))
    body.require("source", 'source = onnx("net.onnx")')
    source = body.read("source", _source, None)
    weights = body.read("weights", _weights, None)
    entering = body.read("input", _input, None)
    if source is not None:
        _fit(body, source.kind)
    if ctx.sink.errors > before or source is None:
        raise RejectedError
    setting = body.settings.get("input")
    return spec.Model(
        name=name,
        source=source,
        weights=weights,
        input=entering,
        span=node.name.span,
        source_span=body.settings["source"].span,
        input_span=setting.span if setting is not None else None,
    )


def _fit(body: Fields, source: str) -> None:
    """Report settings the source excludes, and those it needs."""
    if source != "layers":
        body.require("input", "input = image(224, 224)")
        if source in ("zoo", "python"):
            body.require("weights", 'weights = file("net.safetensors")')
        return
    for key in ("weights", "input"):
        setting = body.settings.get(key)
        if setting is not None:
            message = f"{body.what} is a table of layers and takes no `{key}`"
            fix = removal(setting.span, body.ctx.lines, sure=False)
            body.ctx.sink.reject(
                error("HQ232", message, setting.span, help="leave it out", fix=fix)
            )


def _source(expr: syntax.Expr, ctx: Context) -> spec.Source:
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a source of a model", SOURCES)
    found: spec.Source
    match arguments.function:
        case "onnx":
            found = spec.OnnxSource(path=arguments.read("path", path, ""))
        case "pt2":
            found = spec.Pt2Source(path=arguments.read("path", path, ""))
        case "zoo":
            name = arguments.read("name", text, "")
            found = spec.ZooSource(name=name, arguments=arguments.extras())
        case "python":
            found = python_call(arguments, ctx)
        case _:
            found = spec.LayersSource(path=arguments.read("path", path, ""))
    if ctx.sink.errors > before:
        raise RejectedError
    return found


def python_call(arguments: Arguments, ctx: Context) -> spec.PythonCall:
    """Return ``python("package.module:factory", …)``; refused without ``--trust``."""
    factory = arguments.read("factory", _factory, "")
    extras = arguments.extras()
    if not ctx.trust:
        message = "`python(…)` runs code that the spec names"
        raise error("HQ231", message, arguments.span, help="give `--trust` if you trust the spec")
    return spec.PythonCall(factory=factory, arguments=extras, folder=ctx.folder)


def _factory(expr: syntax.Expr, ctx: Context) -> str:
    value = text(expr, ctx)
    if not _FACTORY.fullmatch(value):
        message = f'"{value}" does not name a factory'
        raise error("HQ209", message, expr.span, help='write `"package.module:factory"`')
    return value


def _weights(expr: syntax.Expr, ctx: Context) -> spec.WeightFile:
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a source of weights", WEIGHT_FILES)
    where = arguments.read("path", path, "")
    digest = arguments.read("sha256", _sha256, None)
    if ctx.sink.errors > before:
        raise RejectedError
    return spec.WeightFile(path=where, sha256=digest, span=expr.span)


def _sha256(expr: syntax.Expr, ctx: Context) -> str:
    value = text(expr, ctx)
    if not _SHA256.fullmatch(value):
        message = f"a sha256 has 64 hexadecimal digits, this has {len(value)} characters"
        raise error("HQ235", message, expr.span, help="`sha256sum FILE` prints it")
    return value.lower()


def _input(expr: syntax.Expr, ctx: Context) -> spec.Input:
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a kind of input", INPUTS)
    found = _tensor(arguments) if arguments.function == "tensor" else _image(arguments, ctx)
    if ctx.sink.errors > before or found is None:
        raise RejectedError
    return found


def _image(arguments: Arguments, ctx: Context) -> spec.ImageInput | None:
    before = ctx.sink.errors
    height = arguments.read("h", whole, 1)
    width = arguments.read("w", whole, 1)
    channels = arguments.read("channels", whole, 3, 1, 4096)
    mean = arguments.read("mean", listed, (Fraction(0),) * channels, "numbers", number)
    std = arguments.read("std", listed, (Fraction(1),) * channels, "numbers", positive)
    scale = arguments.read("scale", positive, Fraction(1, 255))
    order: Order = arguments.read("order", _order, None) or "rgb"
    if ctx.sink.errors > before:
        return None
    for key, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            message = (
                f"`{key}` has {_count(len(values), 'value')} for {_count(channels, 'channel')}"
            )
            expr = arguments.values[key]
            ctx.sink.reject(error("HQ209", message, expr.span, help="give one per channel"))
    if order == "bgr" and channels != 3:
        message = f"`bgr` orders 3 channels, the input has {channels}"
        ctx.sink.reject(error("HQ209", message, arguments.values["order"].span))
    return spec.ImageInput(
        height=height,
        width=width,
        channels=channels,
        mean=mean,
        std=std,
        scale=scale,
        order=order,
    )


def _order(expr: syntax.Expr, ctx: Context) -> Order:
    orders: tuple[Order, ...] = ("rgb", "bgr")
    return word(expr, ctx, orders, "an order of channels")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _tensor(arguments: Arguments) -> spec.TensorInput | None:
    ctx = arguments.ctx
    before = ctx.sink.errors
    dims = arguments.read("dims", listed, (), "dimensions", whole)
    low = arguments.read("low", number, Fraction(0))
    high = arguments.read("high", number, Fraction(1))
    if ctx.sink.errors > before:
        return None
    if not items(arguments.values["dims"], ctx, "dimensions"):
        message = "a tensor has at least one dimension"
        ctx.sink.reject(error("HQ209", message, arguments.values["dims"].span))
    if low >= high:
        message = "`low` must be below `high`"
        ctx.sink.reject(error("HQ209", message, arguments.values["low"].span))
    return spec.TensorInput(dims=dims, low=low, high=high)
