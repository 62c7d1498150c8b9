"""Where nodes stand in the module, as the exporter on top of ``torch.export`` says: in the nodes' properties.

``pkg.torch.onnx.name_scopes`` is a list of module paths from the outermost, then the name of the call; ``namespace``
says the class of each. From both follow the paths that the older exporter puts into the nodes' names
(``/layer1/layer1.0/relu_1/Relu``), so that the same network goes by the same names.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping

from hawqlang.stages.import_model.onnx.model import printable

SCOPES = "pkg.torch.onnx.name_scopes"
NAMESPACE = "namespace"

_TORCH = "torch.nn.modules."
_CONTAINERS = "torch.nn.modules.container."
_LEAVES = {"Reshape": "Flatten"}
"""The older exporter knows a flattening from a reshape; here both are reshapes."""

LONGEST = 4096
"""Characters of the longest list of scopes that is read."""


class Places:
    """Numbers the nodes of one file."""

    def __init__(self) -> None:
        self._found: Counter[tuple[str, str]] = Counter()

    def path(self, op: str, properties: Mapping[str, str]) -> str:
        """Return where a node stands, as ``/scope/operator``; ``""`` where its properties do not say."""
        scopes = _scopes(properties.get(SCOPES, ""))
        if scopes is None:
            return ""
        module = printable(scopes[-2]) if len(scopes) > 1 else ""
        leaf = _LEAVES.get(op, op)
        count = self._found[module, leaf]
        self._found[module, leaf] += 1
        if count and _is_layer(properties.get(NAMESPACE, "")):
            return f"/{module}_{count}/{leaf}"
        return f"{f'/{module}' if module else ''}/{leaf}{f'_{count}' if count else ''}"


def _scopes(text: str) -> list[str] | None:
    if not text or len(text) > LONGEST:
        return None
    try:
        found: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(found, list) and found and all(isinstance(entry, str) for entry in found):  # pyright: ignore[reportUnknownVariableType]
        return [str(entry) for entry in found]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return None


def _is_layer(namespace: str) -> bool:
    """Return whether the innermost module is a layer of PyTorch, which runs one operator each time it is called."""
    classes = [part.rpartition(": ")[2] for part in namespace.split("/")]
    innermost = classes[-2] if len(classes) > 1 else ""
    return innermost.startswith(_TORCH) and not innermost.startswith(_CONTAINERS)
