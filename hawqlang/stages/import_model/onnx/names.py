"""What the nodes of an ONNX file are called: module paths wherever the exporter left a trace of them.

A node with weights is called by the stem of its weight's initializer where that ends in ``.weight``, else by the
scope of its own name (``/layer4/layer4.0/conv1/Conv`` is ``layer4.0.conv1``), else by its own name. A node without
weights takes its scope where it is alone in it, else scope and last part (``layer4.0.Add``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hawqlang.stages.import_model.draft import INPUT
from hawqlang.stages.import_model.onnx.model import OnnxNode, printable

WEIGHTED = {"Conv", "Gemm", "MatMul", "BatchNormalization"}
"""Operators whose second input is a weight."""

_SUFFIX = ".weight"

_QUANTIZED = "_quantized"
"""What ONNX Runtime's quantization puts behind the name of a weight."""


def node_names(nodes: Sequence[OnnxNode], origins: Mapping[str, str]) -> tuple[str, ...]:
    """Return one name per node, all different; ``origins`` are those of ``weight_origins``."""
    scopes = [scope(node.located) for node in nodes]
    computed = [any(output not in origins for output in node.outputs) for node in nodes]
    population = Counter(where for where, own in zip(scopes, computed, strict=True) if own)
    names: list[str | None] = [None] * len(nodes)
    taken = {INPUT}
    weighted = [i for i, node in enumerate(nodes) if _weight(node, origins) is not None]
    for i in weighted:
        weight = _weight(nodes[i], origins) or ""
        weight = weight.removesuffix(_QUANTIZED)
        stem = printable(weight.removesuffix(_SUFFIX)) if weight.endswith(_SUFFIX) else ""
        names[i] = _unique([stem, scopes[i], _own(nodes[i])], taken)
    for i, node in enumerate(nodes):
        if names[i] is None and computed[i]:
            alone = scopes[i] if population[scopes[i]] == 1 else ""
            leaf = node.located.rsplit("/", 1)[-1]
            within = f"{scopes[i]}.{leaf}" if scopes[i] else ""
            names[i] = _unique([alone, within, _own(node)], taken)
    for i, node in enumerate(nodes):
        names[i] = names[i] or _unique([_own(node)], taken)
    return tuple(name or "" for name in names)


def scope(name: str) -> str:
    """Return the module path in an exporter's node name; ``""`` where it has none."""
    parts = [part for part in name.split("/")[:-1] if part]
    path = [
        part
        for i, part in enumerate(parts)
        if i + 1 == len(parts) or not parts[i + 1].startswith(f"{part}.")
    ]
    return ".".join(path)


def weight_origins(nodes: Sequence[OnnxNode], initializers: Mapping[str, object]) -> dict[str, str]:
    """Return every value that follows from initializers alone, with the initializer its elements come from.

    A value that is itself called ``….weight`` is its own origin: exporters store equal tensors once and give the
    others their names through ``Identity``.
    """
    origins = {name: name for name in initializers}
    for node in nodes:
        sources = [name for name in node.inputs if name]
        if not all(name in origins for name in sources):
            continue
        for output in node.outputs:
            inherited = origins[sources[0]] if sources else output
            origins[output] = output if output.endswith(_SUFFIX) else inherited
    return origins


def _weight(node: OnnxNode, origins: Mapping[str, str]) -> str | None:
    if node.op not in WEIGHTED or len(node.inputs) < 2:
        return None
    return origins.get(node.inputs[1])


def _own(node: OnnxNode) -> str:
    return node.located or f"{node.op}_{node.position}"


def _unique(candidates: Sequence[str], taken: set[str]) -> str:
    """Return the first free candidate, else the first one with a number; and take it."""
    wanted = [candidate for candidate in candidates if candidate]
    name = next((candidate for candidate in wanted if candidate not in taken), None)
    number = 1
    while name is None:
        numbered = f"{wanted[0]}_{number}"
        name = None if numbered in taken else numbered
        number += 1
    taken.add(name)
    return name
