"""Spec → Graph: reads a network, with or without its weights, and brings it into the compiler's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import Model, ZooSource
from hawqlang.stages.import_model import zoo
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.normalise import normalise
from hawqlang.stages.import_model.recipes import Stored

if TYPE_CHECKING:
    from hawqlang.cache import TensorStore


def import_structure(model: Model, *, batch: int = 1) -> Graph:
    """Return the normalised graph of a model without parameter values; needs neither torch nor a weight file.

    ``batch`` is what a symbolic batch dimension counts as while shape arithmetic is folded.
    """
    return normalise(_draft(model)).graph()


def import_model(model: Model, store: TensorStore) -> Graph:
    """Return the normalised graph of a model, its parameters in ``store`` as float32.

    Layers, shapes and parameters are those of ``import_structure``.
    """
    from hawqlang.stages.import_model.materialise import materialise
    from hawqlang.stages.import_model.weights import match, open_weights

    draft = _draft(model)
    if model.weights is None:
        raise HawqError(
            Diagnostic(
                code="HQ314",
                severity="error",
                message=f"model '{model.name}' has no weights",
                span=model.source_span,
                help='name its weights: weights = file("model.safetensors")',
            )
        )
    wanted = [recipe for recipe in draft.parameters.values() if isinstance(recipe, Stored)]
    found = match(open_weights(model.weights), wanted, (str,), model.weights.span)
    return materialise(normalise(draft), found.read, store, model.weights.span)


def _draft(model: Model) -> Draft:
    match model.source:
        case ZooSource() as source:
            return zoo.build(model, source)
        case _:
            raise NotImplementedError
