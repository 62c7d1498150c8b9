"""hawqc: a compiler for integer-only neural networks.

``compile(module, example_input, spec)`` builds a module of PyTorch as a spec says and gives the artifact, loaded.
Whatever goes wrong is a ``HawqError`` with diagnostics. Both are loaded when they are first asked for, so that
importing this package takes no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hawqlang.diagnostics import HawqError
    from hawqlang.front_door import Compiled
    from hawqlang.front_door import compile_module as compile  # noqa: A004

__all__ = ["Compiled", "HawqError", "__version__", "compile"]

__version__ = "0.1.0"

_PLACES = {
    "Compiled": ("hawqlang.front_door", "Compiled"),
    "HawqError": ("hawqlang.diagnostics", "HawqError"),
    "compile": ("hawqlang.front_door", "compile_module"),
}


def __getattr__(name: str) -> object:
    """Return a name of the public interface."""
    if name not in _PLACES:
        message = f"module 'hawqlang' has no attribute '{name}'"
        raise AttributeError(message)
    from importlib import import_module

    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
