"""``quantize``: one thing to build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from hawqlang.base import Precision, Span
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import Fields, fields, same_name, twice
from hawqlang.stages.resolve.checks import check_build
from hawqlang.stages.resolve.devices import device_names
from hawqlang.stages.resolve.emits import emits
from hawqlang.stages.resolve.goals import objective
from hawqlang.stages.resolve.keys import blocks_of, settings_of
from hawqlang.stages.resolve.predicates import predicate
from hawqlang.stages.resolve.read import boolean, precisions, whole
from hawqlang.stages.resolve.report import RejectedError, error, joined
from hawqlang.stages.resolve.restrictions import check
from hawqlang.stages.resolve.scope import Context, Declared, look_up
from hawqlang.stages.resolve.selectors import selection
from hawqlang.stages.resolve.settings import (
    ActivationChanges,
    Effort,
    WeightChanges,
    accumulator,
    activation_block,
    effort,
    finetune,
    residual,
    sensitivity,
    weight_block,
)

_Statement = TypeVar("_Statement", bound=syntax.Statement)


@dataclass(frozen=True, slots=True)
class Declarations:
    """The resolved declarations by name; what is broken is left out."""

    models: Mapping[str, spec.Model]
    datasets: Mapping[str, spec.Dataset]
    targets: Mapping[str, spec.Target]


@dataclass(frozen=True, slots=True)
class _Head:
    """What ``quantize MODEL on TARGET with DATASET`` names; ``None`` where it is broken."""

    model: spec.Model | None
    target: spec.Target | None
    dataset: spec.Dataset | None
    sound: bool


def build_name(node: syntax.QuantizeDecl) -> syntax.Name:
    """Return the name of a build: its alias, else its model's name."""
    return node.alias if node.alias is not None else node.model


def build(node: syntax.QuantizeDecl, ctx: Context, declared: Declarations) -> spec.Build:
    """Return a build.

    Raises:
        RejectedError: where something in it is wrong.
    """
    before = ctx.sink.errors
    head = _head(node, ctx, declared)
    body = _body(node, ctx)
    rules = _rules(node, ctx)
    tuned = body.read("finetune", finetune, "none")
    candidates = body.read("precision", precisions, ())
    _check_precision(node, body, rules, ctx)
    level: Effort = body.read("effort", effort, default_effort(candidates, rules))
    weights, activations = _blocks(body, ctx, level)
    device = head.target.device if head.target is not None else None
    table = head.model is not None and isinstance(head.model.source, spec.LayersSource)
    written = {
        "precision": candidates,
        "residual": body.read("residual", residual, 8),
        "accumulator": body.read("accumulator", accumulator, "int32"),
        "bias_correction": body.read("bias_correction", boolean, True),
        "sensitivity": body.read("sensitivity", sensitivity, spec.NamedSensitivity(kind="kl")),
        "effort": level,
        "finetune": None if tuned == "none" else tuned,
        "objective": objective(_of(node, syntax.Objective), ctx),
        "attempts": body.read("attempts", whole, 8),
        "constraints": _constraints(node, ctx),
        "layer_rules": rules,
        "emits": emits(_of(node, syntax.Emit), ctx, device, node.head, buildable=not table),
        "seed": body.read("seed", whole, 0, 0, 2**63 - 1),
    }
    if head.model is None or head.target is None or not head.sound:
        raise RejectedError
    if ctx.sink.errors > before:
        raise RejectedError
    found = spec.Build.model_validate(
        {
            "name": build_name(node).text,
            "model": head.model,
            "target": head.target,
            "dataset": head.dataset,
            "weights": weights,
            "activations": activations,
            "span": node.head,
            **written,
        }
    )
    check_build(found, node, body, ctx)
    if ctx.sink.errors > before:
        raise RejectedError
    return found


def _of(node: syntax.QuantizeDecl, kind: type[_Statement]) -> tuple[_Statement, ...]:
    return tuple(statement for statement in node.statements if isinstance(statement, kind))


# ---- head --------------------------------------------------------------------------------------


def _head(node: syntax.QuantizeDecl, ctx: Context, declared: Declarations) -> _Head:
    model = ctx.sink.attempt(look_up, node.model, ctx, "model")
    target = ctx.sink.attempt(_target_name, node.target, ctx)
    dataset = None
    sound = True
    if node.dataset is not None:
        dataset = ctx.sink.attempt(look_up, node.dataset, ctx, "dataset")
        sound = dataset is not None and dataset.name.text in declared.datasets
    return _Head(
        model=declared.models.get(model.name.text) if model is not None else None,
        target=declared.targets.get(target.name.text) if target is not None else None,
        dataset=declared.datasets.get(dataset.name.text) if dataset is not None else None,
        sound=sound,
    )


def _target_name(name: syntax.Name, ctx: Context) -> Declared:
    if name.text not in ctx.names and name.text in device_names():
        message = f"`{name.text}` is a device of the catalogue, a target is wanted here"
        short = name.text.partition(".")[2]
        help_ = f"declare one: `target {short} {{ device = {name.text} }}`"
        raise error("HQ204", message, name.span, help=help_)
    return look_up(name, ctx, "target")


# ---- body --------------------------------------------------------------------------------------


def _body(node: syntax.QuantizeDecl, ctx: Context) -> Fields:
    entries = tuple(
        statement
        for statement in node.statements
        if isinstance(statement, syntax.Setting | syntax.Block)
    )
    names = settings_of("quantize"), blocks_of("quantize")
    return fields(entries, ctx, "the `quantize` block", node.head, *names)


def default_effort(candidates: tuple[Precision, ...], rules: tuple[spec.LayerRule, ...]) -> Effort:
    """Return what `effort` is where it is not written: more than `fast` where a layer may have below 8 bits."""
    offered = (*candidates, *(p for rule in rules for p in rule.precision or ()))
    narrow = any(min(p.wbits, p.abits) < 8 for p in offered)
    return "balanced" if narrow else "fast"


def _blocks(
    body: Fields, ctx: Context, level: Effort
) -> tuple[spec.WeightSettings, spec.ActivationSettings]:
    """Return the settings of the build; `effort` decides what is not written."""
    weights, activations = spec.WeightSettings(), spec.ActivationSettings(range=spec.Automatic())
    changes = WeightChanges()
    if "weights" in body.blocks:
        changes = weight_block(body.blocks["weights"], ctx)
        weights = weights.replace(**_set(changes))
    if level != "fast" and changes.rounding is None:
        weights = weights.replace(rounding="adaptive")
    if "activations" in body.blocks:
        changed = activation_block(body.blocks["activations"], ctx)
        activations = activations.replace(**_set(changed))
    return weights, activations


def _set(changes: WeightChanges | ActivationChanges) -> dict[str, object]:
    """Return the fields that a block sets."""
    found = {name: getattr(changes, name) for name in type(changes).model_fields}
    return {name: value for name, value in found.items() if value is not None}


def _check_precision(
    node: syntax.QuantizeDecl, body: Fields, rules: tuple[spec.LayerRule, ...], ctx: Context
) -> None:
    """Report a block in which no layer has a candidate, unless a layer block has been rejected."""
    in_rules = [
        entry
        for statement in _of(node, syntax.LayerBlock)
        for entry in statement.body.entries
        if entry.name.text == "precision"
    ]
    if not in_rules and not any(rule.precision for rule in rules):
        body.require("precision", "precision = [w4a4, w8a8]")


def _rules(node: syntax.QuantizeDecl, ctx: Context) -> tuple[spec.LayerRule, ...]:
    found = [ctx.sink.attempt(_rule, block, ctx) for block in _of(node, syntax.LayerBlock)]
    return tuple(rule for rule in found if rule is not None)


def _rule(block: syntax.LayerBlock, ctx: Context) -> spec.LayerRule:
    before = ctx.sink.errors
    chosen = ctx.sink.attempt(selection, block.selection, ctx)
    where = block.selection.span
    names = settings_of("layer"), blocks_of("layer")
    body = fields(block.body.entries, ctx, "the `layer` block", where, *names)
    weights, activations = WeightChanges(), ActivationChanges()
    if "weights" in body.blocks:
        weights = weight_block(body.blocks["weights"], ctx)
    if "activations" in body.blocks:
        activations = activation_block(body.blocks["activations"], ctx)
    rule = {
        "precision": body.read("precision", precisions, None),
        "accumulator": body.read("accumulator", accumulator, None),
        "bias_correction": body.read("bias_correction", boolean, None),
        "finetune": body.read("finetune", finetune, None),
    }
    if chosen is None or ctx.sink.errors > before:
        raise RejectedError
    return spec.LayerRule.model_validate(
        {
            "selector": chosen,
            "granularity": weights.granularity,
            "weight_scheme": weights.scheme,
            "weight_range": weights.range,
            "rounding": weights.rounding,
            "activation_scheme": activations.scheme,
            "activation_range": activations.range,
            "span": block.span,
            **rule,
        }
    )


# ---- constraints -------------------------------------------------------------------------------


def _constraints(node: syntax.QuantizeDecl, ctx: Context) -> tuple[spec.Constraint, ...]:
    subjects = _of(node, syntax.Subject)
    for again in subjects[1:]:
        ctx.sink.reject(twice("`subject to`", "the `quantize` block", again.span, subjects[0].span))
    places: dict[str, Span] = {}
    found: list[spec.Constraint] = []
    for written in (item for subject in subjects for item in subject.constraints):
        name = written.name.text
        if name in places:
            message = f"two constraints are called `{name}`"
            ctx.sink.reject(same_name(message, written.name.span, places[name]))
        places.setdefault(name, written.name.span)
        constraint = ctx.sink.attempt(_constraint, written, ctx)
        if constraint is not None:
            found.append(constraint)
    return tuple(found)


def _constraint(written: syntax.Constraint, ctx: Context) -> spec.Constraint:
    text = ctx.quote(written.expression.span)
    if written.each is None:
        statement = predicate(written.expression, ctx, None)
    else:
        chosen = ctx.sink.attempt(selection, written.each, ctx)
        inner = ctx.sink.attempt(predicate, written.expression, ctx, "each")
        if chosen is None or inner is None:
            raise RejectedError
        span = joined(written.each.span, written.expression.span)
        statement = spec.Each(selector=chosen, predicate=inner, span=span)
        text = f"each {ctx.quote(written.each.span)}: {text}"
    check(statement, ctx)
    return spec.Constraint(
        name=written.name.text, predicate=statement, text=text, span=written.span
    )
