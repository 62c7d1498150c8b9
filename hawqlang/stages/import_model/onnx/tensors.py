"""Reads the tensors of an ONNX file as arrays, inline or from external data beside the model."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hawqlang.cache import Array
from hawqlang.stages.import_model.onnx.model import RefusedError, printable, text_of

if TYPE_CHECKING:
    import onnx

_EXTERNAL_TYPES = {
    "FLOAT": "<f4",
    "DOUBLE": "<f8",
    "FLOAT16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT8": "i1",
    "UINT8": "u1",
    "BOOL": "?",
}


def to_array(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Return the array of a tensor; ``folder`` is the model's own."""
    import onnx
    from onnx import numpy_helper

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, folder)
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # a damaged tensor may fail in any way
        name = printable(tensor.name)
        raise RefusedError(
            f"tensor '{name}' cannot be read: damaged, or of an unknown type"
        ) from error


def _external(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Return the bytes an entry of the model names, refusing every path that leaves the model's folder."""
    import onnx

    name = printable(tensor.name)
    entries = {text_of(entry.key): text_of(entry.value) for entry in tensor.external_data}
    location = entries.get("location", "")
    root = folder.resolve()
    path = (root / location.replace("\0", "")).resolve()
    if not location or "\0" in location or not path.is_relative_to(root):
        raise RefusedError(
            f"the external data of tensor '{name}' lies outside the model's folder",
            "keep a model and its data in one folder",
            "HQ324",
        )
    if not path.is_file():
        raise RefusedError(
            f"the external data of tensor '{name}' is missing",
            f"'{printable(location)}' belongs beside the model",
            "HQ324",
        )
    kind = _EXTERNAL_TYPES.get(onnx.TensorProto.DataType.Name(tensor.data_type))
    if kind is None:
        raise RefusedError(f"tensor '{name}' is of a type that external data is not read for")
    shape = tuple(int(n) for n in tensor.dims)
    dtype = np.dtype(kind)
    try:
        offset = int(entries.get("offset", "0"))
        data = np.fromfile(path, dtype=dtype, count=prod(shape), offset=offset)
    except (ValueError, OSError) as error:
        raise RefusedError(
            f"the external data of tensor '{name}' is damaged", None, "HQ324"
        ) from error
    if data.size != prod(shape):
        raise RefusedError(f"the external data of tensor '{name}' is too short", None, "HQ324")
    return data.reshape(shape)
