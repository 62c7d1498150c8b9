"""hawqc: a compiler for integer-only neural networks.

``compile(module, example_input, spec)`` builds a module of PyTorch as a spec says and gives the artifact, loaded.
Whatever goes wrong is a ``HawqError`` with diagnostics. Everything is loaded when it is first asked for, so that
importing this package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from hawqlang.compiled import Compiled
    from hawqlang.diagnostics import HawqError

__all__ = ["Compiled", "HawqError", "__version__", "compile"]

__version__ = "0.1.0"

_PLACES = {"Compiled": "hawqlang.compiled", "HawqError": "hawqlang.diagnostics"}


def compile(  # noqa: A001, PLR0913 - the usual word; what a command would take as options
    module: nn.Module,
    example_input: Tensor,
    spec: str | Path,
    *,
    name: str | None = None,
    out: str | Path = "build",
    settings: Mapping[str, str] | None = None,
    trust: bool = False,
) -> Compiled:
    """Return the artifact of a module, built as a spec says.

    The module takes the place of the source and weights of the build's model; the files that these name need not be
    there. It is exported in inference mode and kept as ``OUT/NAME.pt2`` beside the artifact ``OUT/NAME``, so that
    ``pt2("OUT/NAME.pt2")`` builds the same without Python.

    Args:
        module: The float network.
        example_input: A tensor it takes, batch included; its other dimensions are those of the spec's input.
        spec: The path of a ``.hawq`` file.
        name: The build that is meant, where the spec has several.
        out: Folder for artifacts.
        settings: Values of the spec's params, as ``--set`` takes them.
        trust: Whether the spec may run Python code (``python(…)``).

    Raises:
        HawqError: With the diagnostics that ``hawqc build`` would print; a note of the exception shows them.
    """
    # Named, not imported: the compiler imports this package.
    front_door = import_module("hawqlang.front_door")
    wanted = front_door.Wanted(str(spec), name, out, dict(settings or {}), trust=trust)
    return front_door.compile_module(module, example_input, wanted)


def __getattr__(name: str) -> object:
    """Return a name of the public interface."""
    if name not in _PLACES:
        message = f"module 'hawqlang' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(import_module(_PLACES[name]), name)
