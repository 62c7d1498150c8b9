"""hawqc: a compiler for integer-only neural networks.

``compile(module, example_input, spec)`` builds a module of PyTorch as a spec says and gives the artifact, loaded.
Whatever goes wrong is a ``HawqError`` with diagnostics. What they take is imported when they are first used, so that
importing this package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

__version__ = "0.1.0"


def compile(  # noqa: A001, PLR0913 - what a user calls it, and what a command takes as options
    module: nn.Module,
    example_input: Tensor,
    spec: str | Path,
    *,
    name: str | None = None,
    out: str | Path = "build",
    settings: Mapping[str, str] | None = None,
    trust: bool = False,
) -> Any:
    """Return the artifact of a module, built as a spec says: a ``Compiled``, which runs when it is called.

    ``hawqlang.front_door.compile_module`` says what it takes and raises.
    """
    return import_module("hawqlang.front_door").compile_module(
        module, example_input, spec, name=name, out=out, settings=settings, trust=trust
    )


def __getattr__(name: str) -> Any:
    """Return ``HawqError`` or ``Compiled``, imported when it is first asked for."""
    places = {"HawqError": "hawqlang.diagnostics", "Compiled": "hawqlang.front_door"}
    if name not in places:
        message = f"module 'hawqlang' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(import_module(places[name]), name)
