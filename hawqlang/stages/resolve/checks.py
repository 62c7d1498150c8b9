"""What a build's parts must agree on: the model with its data, the target with its settings."""

from __future__ import annotations

from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Fields
from hawqlang.stages.resolve.datasets import has_labels
from hawqlang.stages.resolve.metrics import ACCURACIES
from hawqlang.stages.resolve.report import error, removal, warning
from hawqlang.stages.resolve.restrictions import metrics_of
from hawqlang.stages.resolve.scope import Context


def check_build(build: spec.Build, node: syntax.QuantizeDecl, body: Fields, ctx: Context) -> None:
    """Report what does not fit together."""
    if build.model.source.kind == "layers":
        _check_table(build, node, body, ctx)
    else:
        _check_data(build, ctx)
        _check_sizes(build, ctx)
    _check_single_bit(build, body, ctx)
    _check_native(build, body, ctx)


def _check_table(build: spec.Build, node: syntax.QuantizeDecl, body: Fields, ctx: Context) -> None:
    """A table of layers has its own sensitivities and nothing to run."""
    name = build.model.name
    if node.dataset is not None:
        message = f"`{name}` is a table of layers, no data can be run through it"
        help_ = f"leave out `with {node.dataset.text}`"
        ctx.sink.reject(error("HQ232", message, node.dataset.span, help=help_))
    setting = body.settings.get("sensitivity")
    if setting is not None:
        message = f"`{name}` is a table of layers with sensitivities of its own"
        fix = removal(setting.span, ctx.lines, sure=False)
        ctx.sink.reject(error("HQ232", message, setting.span, help="leave it out", fix=fix))
    if build.target.latency == "measured":
        message = f"`{name}` is a table of layers, nothing can be measured"
        help_ = "give the table `latency_us`, or the target `latency = modelled`"
        ctx.sink.reject(error("HQ232", message, node.target.span, help=help_))
    for constraint in build.constraints:
        if metrics_of(constraint.predicate) & set(ACCURACIES):
            message = f"`{name}` is a table of layers and has no accuracy"
            ctx.sink.reject(error("HQ232", message, constraint.span, help="leave it out"))


def _check_data(build: spec.Build, ctx: Context) -> None:
    if ctx.sink.partial:
        return  # what is missing may be what could not be read
    dataset = build.dataset
    accuracies = [c for c in build.constraints if metrics_of(c.predicate) & set(ACCURACIES)]
    if dataset is None:
        _check_without_data(build, ctx)
        return
    if dataset.calibration is None:
        message = f"dataset `{dataset.name}` has no calibration data, `{build.name}` needs some"
        help_ = 'add `calibration = images("calib/", count = 128)`'
        ctx.sink.reject(error("HQ233", message, build.span, help=help_))
    if accuracies and (dataset.evaluation is None or not has_labels(dataset.evaluation)):
        message = f"dataset `{dataset.name}` has no labelled evaluation data to check this on"
        help_ = 'add `evaluation = images("eval/", labels = "labels.csv")`'
        ctx.sink.reject(error("HQ234", message, accuracies[0].span, help=help_))
    tuned = any(isinstance(rule.finetune, spec.Finetune) for rule in build.layer_rules)
    if (build.finetune is not None or tuned) and dataset.training is None:
        message = f"dataset `{dataset.name}` has no training data to fine-tune on"
        help_ = 'add `training = images("train/", labels = "labels.csv")`'
        ctx.sink.reject(error("HQ233", message, build.span, help=help_))


def _check_without_data(build: spec.Build, ctx: Context) -> None:
    constrained = {m for c in build.constraints for m in metrics_of(c.predicate)}
    optimised = {goal.metric.metric for goal in build.objective}
    perturbation = "perturbation" in constrained or (
        "perturbation" in optimised and _has_choice(build)
    )
    measured = not isinstance(build.sensitivity, spec.FileSensitivity)
    reasons = [
        ("`accuracy` is checked by running the network", bool(constrained & set(ACCURACIES))),
        ("`perturbation` is measured on data", perturbation and measured),
        ("fine-tuning trains the network", build.finetune is not None),
    ]
    for reason, holds in reasons:
        if holds:
            message = f"`{build.name}` needs a dataset: {reason}"
            ctx.sink.reject(
                error("HQ233", message, build.span, help="add `with DATASET` to `quantize`")
            )
            return
    message = f"without a dataset `{build.name}` can be planned but not built"
    help_ = "add `with DATASET` to `quantize`"
    ctx.sink.warn(warning("HQ259", message, build.span, help=help_))


def _has_choice(build: spec.Build) -> bool:
    """Return whether some layer has more than one candidate: only then is anything measured."""
    rules = (rule.precision or () for rule in build.layer_rules)
    return any(len(candidates) > 1 for candidates in (build.precision, *rules))


def _check_sizes(build: spec.Build, ctx: Context) -> None:
    """A central crop and the network's input must have one size."""
    entering = build.model.input
    if not isinstance(entering, spec.ImageInput) or build.dataset is None:
        return
    dataset = build.dataset
    for data in (dataset.calibration, dataset.evaluation, dataset.training):
        if not isinstance(data, spec.ImagesData) or data.crop is None:
            continue
        if (data.crop, data.crop) != (entering.height, entering.width):
            message = (
                f"`{dataset.name}` gives images of {data.crop}x{data.crop},"
                f" `{build.model.name}` takes {entering.height}x{entering.width}"
            )
            ctx.sink.reject(error("HQ236", message, data.span))


def _check_single_bit(build: spec.Build, body: Fields, ctx: Context) -> None:
    """One-bit weights exist only with ``mean_field``."""
    tunings = (build.finetune, *(rule.finetune for rule in build.layer_rules))
    if any(isinstance(t, spec.Finetune) and t.method == "mean_field" for t in tunings):
        return
    help_ = "add `finetune = mean_field(levels = [-1, 1], epochs = 300)`"
    message = "1-bit weights need fine-tuning with `mean_field`"
    if any(precision.wbits == 1 for precision in build.precision):
        ctx.sink.reject(error("HQ253", message, body.settings["precision"].span, help=help_))
    for rule in build.layer_rules:
        if any(precision.wbits == 1 for precision in rule.precision or ()):
            ctx.sink.reject(error("HQ253", message, rule.span, help=help_))


def _check_native(build: spec.Build, body: Fields, ctx: Context) -> None:
    """Where time matters, a precision that the device only widens promises what it cannot give."""
    setting, device = body.settings.get("precision"), build.target.device
    asked = {goal.metric.metric for goal in build.objective}
    asked |= {metric for c in build.constraints for metric in metrics_of(c.predicate)}
    modelled = build.target.latency == "modelled" and build.model.source.kind != "layers"
    if setting is None or "latency" not in asked or not modelled:
        return
    rates = dict(device.rates)
    widened = [
        p
        for p in build.precision
        if p not in rates and any(n.wbits >= p.wbits and n.abits >= p.abits for n in device.native)
    ]
    if not widened:
        return
    shown, native = (" and ".join(f"`{p}`" for p in some) for some in (widened, device.native))
    many = len(widened) > 1
    message = (
        f"{shown} {'have' if many else 'has'} no native instruction on `{device.name}`:"
        f" {'they run' if many else 'it runs'} at the rate of a wider precision"
    )
    help_ = f"native: {native}; narrower layers only move fewer bytes"
    ctx.sink.warn(warning("HQ262", message, setting.span, help=help_))
