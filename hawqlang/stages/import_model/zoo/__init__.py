"""Network definitions that ship with the compiler and take the usual public state_dicts."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.diagnostics.suggest import nearest
from hawqlang.ir.spec import Model, ZooSource
from hawqlang.stages.import_model.builder import Builder, ShapeError
from hawqlang.stages.import_model.draft import INPUT, Draft
from hawqlang.stages.import_model.inputs import input_shape
from hawqlang.stages.import_model.zoo.cifar_resnet import cifar_resnet
from hawqlang.stages.import_model.zoo.densenet import densenet, published_spelling
from hawqlang.stages.import_model.zoo.googlenet import TRAINING_ONLY, googlenet
from hawqlang.stages.import_model.zoo.mnasnet import mnasnet
from hawqlang.stages.import_model.zoo.mobilenet_v1 import mobilenet_v1
from hawqlang.stages.import_model.zoo.mobilenet_v2 import mobilenet_v2
from hawqlang.stages.import_model.zoo.network import WIDTH, Argument, Network, Number, classes
from hawqlang.stages.import_model.zoo.resnet import resnet
from hawqlang.stages.import_model.zoo.squeezenet import squeezenet, torchvision_spelling
from hawqlang.stages.import_model.zoo.vgg import BLOCKS, alexnet, vgg

_THOUSAND = (classes(1000),)


def _resnet(
    name: str, blocks: tuple[int, ...], *, bottleneck: tuple[int, int] | None = None
) -> Network:
    return Network(name, partial(resnet, blocks=blocks, bottleneck=bottleneck), _THOUSAND)


def _vgg(layers: int, *, norm: bool) -> Network:
    write = partial(vgg, layers=layers, norm=norm)
    return Network(f"vgg{layers}{'_bn' if norm else ''}", write, _THOUSAND)


def _densenet(depth: int, blocks: tuple[int, ...], growth: int = 32, stem: int = 64) -> Network:
    write = partial(densenet, blocks=blocks, growth=growth, stem=stem)
    return Network(f"densenet{depth}", write, _THOUSAND, (str, published_spelling))


def _mnasnet(name: str, width: Fraction) -> Network:
    return Network(f"mnasnet{name}", partial(mnasnet, width=width), _THOUSAND)


def _squeezenet(version: str) -> Network:
    return Network(
        f"squeezenet{version}",
        partial(squeezenet, version=version),
        _THOUSAND,
        (str, torchvision_spelling(version)),
    )


def _cifar_resnet(depth: int) -> Network:
    return Network(f"cifar_resnet{depth}", partial(cifar_resnet, depth=depth), (classes(10),))


ZOO: dict[str, Network] = {
    network.name: network
    for network in (
        _resnet("resnet18", (2, 2, 2, 2)),
        _resnet("resnet34", (3, 4, 6, 3)),
        _resnet("resnet50", (3, 4, 6, 3), bottleneck=(1, 1)),
        _resnet("resnet101", (3, 4, 23, 3), bottleneck=(1, 1)),
        _resnet("resnet152", (3, 8, 36, 3), bottleneck=(1, 1)),
        _resnet("wide_resnet50_2", (3, 4, 6, 3), bottleneck=(2, 1)),
        _resnet("wide_resnet101_2", (3, 4, 23, 3), bottleneck=(2, 1)),
        _resnet("resnext50_32x4d", (3, 4, 6, 3), bottleneck=(2, 32)),
        _resnet("resnext101_32x8d", (3, 4, 23, 3), bottleneck=(4, 32)),
        _resnet("resnext101_64x4d", (3, 4, 23, 3), bottleneck=(4, 64)),
        Network("googlenet", googlenet, _THOUSAND, ignored=TRAINING_ONLY),
        Network("alexnet", alexnet, _THOUSAND),
        *(_vgg(layers, norm=norm) for layers in BLOCKS for norm in (False, True)),
        _densenet(121, (6, 12, 24, 16)),
        _densenet(161, (6, 12, 36, 24), growth=48, stem=96),
        _densenet(169, (6, 12, 32, 32)),
        _densenet(201, (6, 12, 48, 32)),
        _mnasnet("0_5", Fraction(1, 2)),
        _mnasnet("0_75", Fraction(3, 4)),
        _mnasnet("1_0", Fraction(1)),
        _mnasnet("1_3", Fraction(13, 10)),
        _squeezenet("1_0"),
        _squeezenet("1_1"),
        Network("mobilenet_v1", mobilenet_v1, (WIDTH, *_THOUSAND)),
        Network("mobilenet_v2", mobilenet_v2, (WIDTH, *_THOUSAND)),
        _cifar_resnet(20),
        _cifar_resnet(32),
        _cifar_resnet(44),
        _cifar_resnet(56),
        _cifar_resnet(110),
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
    near = nearest(name, ZOO)
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
    near = nearest(name, names, limit=1)
    if name not in names and near:
        return f"did you mean '{near[0]}'?"
    defaults = ", ".join(f"{a.name} = {float(a.default):g}" for a in network.arguments)
    return f"its arguments, with their defaults: {defaults}"
