"""The nodes of an exported program as plain values.

The description is JSON whose unions are tagged (``{"as_int": 3}``). What is not needed to compute the network, such as
stack traces, which name files of the machine that exported it, is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import cast

from hawqlang.stages.import_model.onnx.model import printable
from hawqlang.stages.import_model.pt2.fields import (
    Json,
    MalformedError,
    listed,
    single,
    table,
    text,
    whole,
)


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor of the program."""

    name: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """A number the program computes from the shape of its input."""

    name: str


@dataclass(frozen=True, slots=True)
class Other:
    """An argument of a kind that no operator here takes."""

    tag: str


Scalar = Ref | Symbol | Other | bool | int | float | str | None
Argument = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class AtenNode:
    """A call of an operator."""

    name: str
    target: str
    """Such as ``aten.conv2d.default``."""
    arguments: Mapping[str, Argument]
    outputs: tuple[Scalar, ...]
    scope: str
    """The module's path, numbered from its second call on (``layer1.0.relu_1``); ``""`` where unknown."""


@dataclass(frozen=True, slots=True)
class Meta:
    """Element type and sizes of a tensor; ``None`` stands for a symbolic size."""

    kind: int
    sizes: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A network as ``torch.export`` gives it."""

    nodes: tuple[AtenNode, ...]
    stored: Mapping[str, str]
    """The name in the module of every parameter, buffer and constant, by its name in the graph."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    mutated: tuple[str, ...]
    """Buffers and inputs that running the network changes."""
    metas: Mapping[str, Meta]


def program_of(content: Json) -> Program:
    """Return the program of a description.

    Raises:
        MalformedError: it is not one.
    """
    module = table(content.get("graph_module"), "graph_module")
    graph = table(module.get("graph"), "graph")
    signature = table(module.get("signature"), "signature")
    stored, inputs = _inputs(listed(signature.get("input_specs"), "input_specs"))
    outputs, mutated = _outputs(listed(signature.get("output_specs"), "output_specs"))
    return Program(
        nodes=tuple(_node(entry) for entry in listed(graph.get("nodes"), "nodes")),
        stored=stored,
        inputs=inputs,
        outputs=outputs,
        mutated=mutated,
        metas={
            name: _meta(entry, name)
            for name, entry in table(graph.get("tensor_values"), "tensor_values").items()
        },
    )


def _inputs(specs: Sequence[object]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return stored tensors by their names in the graph, and the names of what enters."""
    keys = {
        "parameter": "parameter_name",
        "buffer": "buffer_name",
        "tensor_constant": "tensor_constant_name",
    }
    stored: dict[str, str] = {}
    entering: list[str] = []
    for spec in specs:
        tag, value = single(spec, "an input")
        entry = table(value, "an input")
        if tag in keys:
            name = text(table(entry.get("arg"), "an input").get("name"), "a stored tensor's name")
            stored[name] = text(entry.get(keys[tag]), "a stored tensor's name")
        elif tag == "user_input":
            ref = _argument(entry.get("arg"))
            entering.append(ref.name if isinstance(ref, Ref) else "a number or an object")
        else:
            entering.append(printable(tag))
    return stored, tuple(entering)


def _outputs(specs: Sequence[object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of what leaves, and of what is changed on the way."""
    leaving: list[str] = []
    mutated: list[str] = []
    for spec in specs:
        tag, value = single(spec, "an output")
        entry = table(value, "an output")
        if tag == "user_output":
            ref = _argument(entry.get("arg"))
            leaving.append(ref.name if isinstance(ref, Ref) else "a number or an object")
        else:
            names = [v for k, v in entry.items() if k.endswith("_name") and isinstance(v, str)]
            mutated.append(names[0] if names else tag)
    return tuple(leaving), tuple(mutated)


def _meta(content: object, name: str) -> Meta:
    called = f"tensor '{printable(name)}'"
    entry = table(content, called)
    sizes: list[int | None] = []
    for size in listed(entry.get("sizes"), f"sizes of {called}"):
        tag, value = single(size, f"a size of {called}")
        sizes.append(whole(value, f"a size of {called}") if tag == "as_int" else None)
    return Meta(whole(entry.get("dtype"), f"type of {called}"), tuple(sizes))


def _node(content: object) -> AtenNode:
    entry = table(content, "a node")
    name = printable(text(entry.get("name") or "", "a node's name"))
    target = printable(text(entry.get("target"), f"target of node '{name}'"))
    arguments: dict[str, Argument] = {}
    for given in listed(entry.get("inputs"), f"inputs of node '{name}'"):
        argument = table(given, f"an input of node '{name}'")
        key = text(argument.get("name"), f"an input of node '{name}'")
        arguments[key] = _argument(argument.get("arg"))
    outputs: list[Scalar] = []
    for given in listed(entry.get("outputs"), f"outputs of node '{name}'"):
        output = _argument(given)
        outputs += output if isinstance(output, tuple) else (output,)
    metadata = table(entry.get("metadata") or {}, f"metadata of node '{name}'")
    return AtenNode(
        name=name,
        target=target.removeprefix("torch.ops."),
        arguments=arguments,
        outputs=tuple(outputs),
        scope=_scope(metadata.get("nn_module_stack")),
    )


def _scope(stack: object) -> str:
    """Return the module path from ``key,path,type;…``; a key ends in ``@n`` where the module runs again."""
    if not isinstance(stack, str) or not stack:
        return ""
    parts = stack.rsplit(";", 1)[-1].split(",")
    if len(parts) < 2:
        return ""
    call = parts[0].rpartition("@")[2] if "@" in parts[0] else ""
    path = printable(parts[1].split("@", 1)[0])
    return f"{path}_{call}" if path and call.isdigit() else path


def _argument(content: object) -> Argument:
    tag, value = single(content, "an argument")
    match tag:
        case "as_tensors" | "as_optional_tensors" | "as_sym_ints" | "as_sym_floats":
            return tuple(_entry(tag, item) for item in listed(value, tag))
        case "as_ints" | "as_floats" | "as_bools" | "as_strings":
            return tuple(_plain(item) for item in listed(value, tag))
        case _:
            return _scalar(tag, value)


def _entry(tag: str, value: object) -> Scalar:
    """Return an entry of a list, which may be tagged itself."""
    if tag == "as_tensors":
        return _scalar("as_tensor", value)
    return _scalar(*single(value, tag))


def _scalar(tag: str, value: object) -> Scalar:  # noqa: PLR0911 - one a tag
    match tag:
        case "as_none":
            return None
        case "as_tensor":
            return Ref(text(table(value, tag).get("name"), "a tensor's name"))
        case "as_name":
            return Symbol(text(value, "a number's name"))
        case "as_sym_int" | "as_sym_float" | "as_optional_tensor":
            return _scalar(*single(value, tag))
        case "as_int" | "as_float" | "as_bool" | "as_string":
            return _plain(value, text_allowed=tag == "as_string")
        case "as_scalar_type":
            return whole(value, tag)
        case _:
            return Other(printable(tag))


_FLOATS = {"Infinity": inf, "-Infinity": -inf, "NaN": nan}


def _plain(value: object, *, text_allowed: bool = True) -> Scalar:
    if isinstance(value, str) and not text_allowed:
        if value in _FLOATS:
            return _FLOATS[value]
        raise MalformedError("a number is a string")
    if value is None or isinstance(value, bool | float | str):
        return cast("Scalar", value)
    return whole(value, "a number")
