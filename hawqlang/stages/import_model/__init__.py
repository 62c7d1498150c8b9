"""Spec → Graph: reads a network, with or without its weights, and brings it into the compiler's form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import LayersSource, Model, OnnxSource, Pt2Source, PythonCall, ZooSource
from hawqlang.stages.import_model import zoo
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.normalise import normalise
from hawqlang.stages.import_model.recipes import stored_in
from hawqlang.stages.import_model.zoo.network import Spelling

if TYPE_CHECKING:
    from hawqlang.cache import Array, TensorStore
    from hawqlang.stages.import_model.statistics import ChannelStatistics


def import_structure(model: Model, *, batch: int = 1) -> Graph:
    """Return the normalised graph of a model without parameter values; needs neither torch nor a weight file.

    ``batch`` is what a symbolic batch dimension counts as while shape arithmetic is folded.
    """
    return normalise(_front_end(model, batch).draft).graph()


def import_model(model: Model, store: TensorStore, *, trust: bool = False) -> Graph:
    """Return the normalised graph of a model, its parameters in ``store`` as float32.

    Layers, shapes and parameters are those of ``import_structure``. ``trust`` lets code run that the model names; a
    build's spec was resolved with the user's consent, a finished artifact was not.
    """
    from hawqlang.stages.import_model.materialise import materialise

    source = _front_end(model, batch=1, trust=trust)
    span = model.source_span if model.weights is None else model.weights.span
    return materialise(normalise(source.draft), _reader(model, source), store, span)


def import_statistics(model: Model, *, trust: bool = False) -> tuple[ChannelStatistics, ...]:
    """Return what the model's batch norms remember of its training data, folded or not.

    Values are called as in ``import_model``; empty where the network, or the file it was exported to, has no batch
    norm.
    """
    from hawqlang.stages.import_model.statistics import channel_statistics

    source = _front_end(model, batch=1, trust=trust)
    return channel_statistics(normalise(source.draft), _reader(model, source))


@dataclass(frozen=True, slots=True)
class _Source:
    """What a front end gives."""

    draft: Draft
    own: Callable[[str], Array] | None = None
    """Reads the constants the model's own file holds."""
    replaceable: frozenset[str] | None = None
    """Those that a weight file replaces; ``None`` stands for all."""
    spellings: tuple[Spelling, ...] = (str,)
    ignored: tuple[str, ...] = ()
    """What keys of a weight file begin with that are of no use."""


def _front_end(model: Model, batch: int, *, trust: bool = False) -> _Source:
    match model.source:
        case ZooSource() as source:
            draft, network = zoo.build(model, source), zoo.ZOO[source.name]
            return _Source(draft, spellings=network.spellings, ignored=network.ignored)
        case OnnxSource() as source:
            from hawqlang.stages.import_model.onnx.read import read_onnx

            return _Source(*read_onnx(model, source, batch))
        case Pt2Source() as source:
            from hawqlang.stages.import_model.pt2.read import read_pt2

            return _Source(*read_pt2(model, source, batch))
        case PythonCall() as source:
            from hawqlang.stages.import_model.python_source import read_python

            return _Source(*read_python(model, source, batch, trust=trust))
        case LayersSource():
            raise HawqError(_no_network(model))
        case _:
            assert_never(model.source)


def _reader(model: Model, source: _Source) -> Callable[[str], Array]:
    """Return what reads a stored tensor: the weight file where there is one, else the model's own file."""
    from hawqlang.stages.import_model.weights import match, open_weights

    own, replaceable = source.own, source.replaceable
    if model.weights is None:
        if own is None:
            raise HawqError(_no_weights(model))
        return own
    wanted = [
        recipe
        for recipe in stored_in(source.draft.parameters.values())
        if replaceable is None or recipe.key in replaceable
    ]
    span = model.weights.span
    found = match(
        open_weights(model.weights), wanted, source.spellings, span, ignored=source.ignored
    )
    return lambda key: found.read(key) if own is None or key in found.shapes else own(key)


def _no_weights(model: Model) -> Diagnostic:
    return Diagnostic(
        code="HQ314",
        severity="error",
        message=f"model '{model.name}' has no weights",
        span=model.source_span,
        help='name its weights: weights = file("model.safetensors")',
    )


def _no_network(model: Model) -> Diagnostic:
    return Diagnostic(
        code="HQ340",
        severity="error",
        message=f"model '{model.name}' gives no network: a layer table is enough for check, plan and pareto",
        span=model.source_span,
        help="export the network: torch.onnx.export(model, …), and name it with onnx(path)",
    )
