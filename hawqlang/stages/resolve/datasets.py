"""``dataset``: where calibration, evaluation and training samples come from."""

from __future__ import annotations

from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Arguments, call, fields
from hawqlang.stages.resolve.constants import ungroup
from hawqlang.stages.resolve.functions import DATA
from hawqlang.stages.resolve.keys import settings_of
from hawqlang.stages.resolve.models import python_call
from hawqlang.stages.resolve.read import path, text, whole
from hawqlang.stages.resolve.report import RejectedError, error, unknown
from hawqlang.stages.resolve.scope import Context

DEFAULT_STEPS = 200
"""Optimisation steps of ``zero_shot`` where none are given."""


def dataset(node: syntax.Declaration, ctx: Context) -> spec.Dataset:
    """Return a dataset.

    Raises:
        RejectedError: where something in it is wrong.
    """
    before = ctx.sink.errors
    name = node.name.text
    parts = settings_of("dataset")
    body = fields(node.body.entries, ctx, f"dataset `{name}`", node.name.span, parts)
    calibration, evaluation, training = (body.read(part, _data, None) for part in parts)
    if isinstance(evaluation, spec.ZeroShotData):
        message = "`zero_shot` makes samples without labels, which nothing can be evaluated on"
        ctx.sink.reject(error("HQ234", message, evaluation.span, help="use it for `calibration`"))
    if training is not None and not has_labels(training):
        message = "training data needs labels"
        help_ = 'write `images(folder, labels = "labels.csv")`'
        ctx.sink.reject(error("HQ234", message, training.span, help=help_))
    if ctx.sink.errors > before:
        raise RejectedError
    return spec.Dataset(
        name=name,
        calibration=calibration,
        evaluation=evaluation,
        training=training,
        span=node.name.span,
    )


def has_labels(data: spec.Data) -> bool:
    """Return whether samples come with labels, as far as the spec says."""
    match data:
        case spec.ImagesData() | spec.ArraysData():
            return data.labels is not None
        case spec.ZeroShotData():
            return True  # the class each sample was made for
        case spec.PythonData():
            return True


def _data(expr: syntax.Expr, ctx: Context) -> spec.Data:
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a source of data", DATA)
    found: spec.Data
    match arguments.function:
        case "images":
            found = _images(arguments)
        case "arrays":
            found = spec.ArraysData(
                path=arguments.read("path", path, ""),
                images=arguments.read("images", text, "x"),
                labels=arguments.read("labels", text, "y"),
                count=_limit(arguments),
                span=expr.span,
            )
        case "zero_shot":
            found = spec.ZeroShotData(
                count=arguments.read("count", whole, 1),
                steps=arguments.read("steps", whole, DEFAULT_STEPS),
                span=expr.span,
            )
        case _:
            found = spec.PythonData(call=python_call(arguments, ctx), span=expr.span)
    if ctx.sink.errors > before:
        raise RejectedError
    return found


def _images(arguments: Arguments) -> spec.ImagesData:
    resize = arguments.read("resize", whole, None)
    crop = arguments.read("crop", whole, None)
    if resize is not None and crop is not None and crop > resize:
        message = f"`crop = {crop}` does not fit into `resize = {resize}`"
        help_ = "`resize` is the short side, `crop` is cut from its middle"
        arguments.ctx.sink.reject(
            error("HQ209", message, arguments.values["crop"].span, help=help_)
        )
    return spec.ImagesData(
        folder=arguments.read("folder", path, ""),
        labels=arguments.read("labels", path, None),
        resize=resize,
        crop=crop,
        count=_limit(arguments),
        span=arguments.span,
    )


def _limit(arguments: Arguments) -> int | None:
    """Return how many samples to take, ``None`` for all."""
    expr = arguments.values.get("count")
    if expr is None:
        return None
    expr = ungroup(expr)
    if isinstance(expr, syntax.Name) and expr.text == "all":
        return None
    if isinstance(expr, syntax.Name) and expr.text not in arguments.ctx.names:
        message = f"`{expr.text}` is no number of samples"
        arguments.ctx.sink.reject(unknown("HQ210", message, expr.text, expr.span, ("all",)))
        return None
    return arguments.read("count", whole, None)
