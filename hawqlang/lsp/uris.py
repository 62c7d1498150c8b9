"""Addresses of documents as paths and back."""

from __future__ import annotations

from pathlib import Path

from pygls import uris


def path_of(uri: str) -> Path | None:
    """Return the path of a ``file:`` address; ``None`` for any other."""
    path = uris.to_fs_path(uri)
    return Path(path) if path and "\0" not in path else None


def uri_of(path: Path) -> str:
    """Return the address of a file."""
    return path.as_uri()
