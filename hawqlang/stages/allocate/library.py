"""The two solver libraries, loaded when first needed; neither brings types."""

from __future__ import annotations

import importlib
from typing import Any


def z3() -> Any:
    """Return the module ``z3``."""
    return importlib.import_module("z3")


def highspy() -> Any:
    """Return the module ``highspy``."""
    return importlib.import_module("highspy")
