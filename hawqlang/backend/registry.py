"""The back ends, each imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hawqlang.backend.protocol import Backend


def _tvm() -> Backend:
    from hawqlang_codegen.tvm.backend import BACKEND

    return BACKEND


def _cuda() -> Backend:
    from hawqlang_codegen.cuda.backend import BACKEND

    return BACKEND


BACKENDS: Mapping[str, Callable[[], Backend]] = {"cuda": _cuda, "tvm": _tvm}
"""Back ends by the name that ``emit`` uses."""
