"""Where shipped data lies (grammar, templates, specs) and where this user's cache may lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return a shipped data folder: inside the wheel, or beside the package in a checkout."""
    shipped = _PACKAGE / "_data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def cache_dir() -> Path:
    """Return the user's cache folder, which may not exist yet; ``HAWQ_CACHE`` overrides it."""
    chosen = os.environ.get("HAWQ_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("hawqc")


def specs_below(folder: Path) -> Iterator[Path]:
    """Yield every spec below a folder, in order; links to folders and hidden folders are not entered."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(files) if name.endswith(".hawq"))
