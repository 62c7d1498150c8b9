"""Where the data folders (templates, specs, grammar) are: inside a wheel, else in the checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder ``name``: ``hawqlang/_data/<name>`` of a wheel, or ``<name>`` beside the package.

    Raises:
        FileNotFoundError: neither is there, so the installation is damaged.
    """
    for folder in (PACKAGE / "_data" / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the folder {name!r} is missing from this installation")
