"""Network definitions that ship with the compiler and take the usual public state_dicts."""

from __future__ import annotations

import difflib
from fractions import Fraction
from functools import partial

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import Model, ZooSource
from hawqlang.stages.import_model.draft import INPUT, Builder, Draft, ShapeError
from hawqlang.stages.import_model.inputs import input_shape
from hawqlang.stages.import_model.zoo.cifar_resnet import cifar_resnet
from hawqlang.stages.import_model.zoo.network import Argument, Network, Number, classes

ZOO: dict[str, Network] = {
    network.name: network
    for network in (
        *(
            Network(f"cifar_resnet{depth}", partial(cifar_resnet, depth=depth), (classes(10),))
            for depth in (20, 32, 44, 56, 110)
        ),
    )
}


def build(model: Model, source: ZooSource) -> Draft:
    """Return the draft of a zoo network at the model's input size; unknown names and arguments are errors."""
    network = ZOO.get(source.name)
    if network is None:
        raise HawqError(_unknown_network(model, source.name))
    arguments = _arguments(model, source, network)
    builder = Builder(name=model.name, input_shape=input_shape(model))
    try:
        return builder.finish(network.write(builder, INPUT, **arguments))
    except ShapeError as error:
        raise HawqError(
            Diagnostic(
                code="HQ312",
                severity="error",
                message=f"the input does not fit zoo network '{source.name}': {error}",
                span=model.input_span or model.source_span,
                help="give the height and width the network was made for, such as image(224, 224)",
            )
        ) from error


def _unknown_network(model: Model, name: str) -> Diagnostic:
    near = difflib.get_close_matches(name, ZOO, n=3, cutoff=0.5)
    return Diagnostic(
        code="HQ310",
        severity="error",
        message=f"the zoo has no network '{name}'",
        span=model.source_span,
        notes=(f"it has {', '.join(ZOO)}",),
        help=f"did you mean {' or '.join(repr(n) for n in near)}?" if near else None,
    )


def _arguments(model: Model, source: ZooSource, network: Network) -> dict[str, Number]:
    known = {argument.name: argument for argument in network.arguments}
    values: dict[str, Number] = {a.name: a.default for a in network.arguments}
    findings: list[Diagnostic] = []
    for name, value in source.arguments:
        argument = known.get(name)
        fault = _fault(network, name, argument, value)
        if argument is None or fault is not None or not isinstance(value, Fraction):
            findings.append(
                Diagnostic(
                    code="HQ311",
                    severity="error",
                    message=fault or "",
                    span=model.source_span,
                    help=_argument_help(network, name),
                )
            )
            continue
        values[name] = int(value) if argument.whole else value
    if findings:
        raise HawqError(*findings)
    return values


def _fault(
    network: Network, name: str, argument: Argument | None, value: Fraction | str | bool
) -> str | None:
    """Return what is wrong with an argument; ``None`` where nothing is."""
    if argument is None:
        return f"zoo network '{network.name}' has no argument '{name}'"
    if not isinstance(value, Fraction):
        return f"argument '{name}' of zoo network '{network.name}' is a number"
    if argument.whole and value.denominator != 1:
        return f"argument '{name}' of zoo network '{network.name}' is a whole number"
    if not argument.minimum <= value <= argument.maximum:
        low, high = (f"{float(n):g}" for n in (argument.minimum, argument.maximum))
        return f"argument '{name}' of zoo network '{network.name}' is from {low} to {high}"
    return None


def _argument_help(network: Network, name: str) -> str:
    names = [argument.name for argument in network.arguments]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near and near[0] != name:
        return f"did you mean '{near[0]}'?"
    defaults = ", ".join(f"{a.name} = {float(a.default):g}" for a in network.arguments)
    return f"its arguments, with their defaults: {defaults}"
