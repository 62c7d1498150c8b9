"""Names the files beside an ONNX model that hold its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hawqlang.stages.import_model.onnx.model import text_of

if TYPE_CHECKING:
    import onnx

_MARK = b"location"
"""Every tensor with external data has an entry under this key."""


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the files that a model's tensors lie in, sorted; only those that are there, in the model's own folder.

    A file that is no ONNX model has none: reading it for import says so.
    """
    if not path.is_file():
        return ()
    data = path.read_bytes()
    if _MARK not in data:
        return ()
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model_from_string(data)
    except DecodeError:
        return ()
    root = path.parent.resolve()
    named = {name.replace("\0", "") for name in _locations(proto.graph)}
    found = {(root / name).resolve() for name in named if name}
    inside = (file for file in found if file.is_relative_to(root) and file.is_file())
    return tuple(sorted(path.parent / file.relative_to(root) for file in inside))


def _locations(graph: onnx.GraphProto) -> Iterator[str]:
    for tensor in _tensors(graph):
        for entry in tensor.external_data:
            if text_of(entry.key) == "location":
                yield text_of(entry.value)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
