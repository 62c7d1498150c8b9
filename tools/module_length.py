"""List Python modules above 400 lines and fail above 800.

Usage: ``python tools/module_length.py FOLDER...``
"""

from __future__ import annotations

import sys
from pathlib import Path

LISTED = 400
REFUSED = 800


def lengths(folders: list[str]) -> list[tuple[int, Path]]:
    """Return lines and path of every module under ``folders``, longest first."""
    modules = [path for folder in folders for path in Path(folder).rglob("*.py")]
    counted = [(len(path.read_text(encoding="utf-8").splitlines()), path) for path in modules]
    return sorted(counted, key=lambda pair: (-pair[0], pair[1]))


def main() -> int:
    """Print the long modules; return 1 when one must be split."""
    found = [pair for pair in lengths(sys.argv[1:]) if pair[0] > LISTED]
    for lines, path in found:
        verdict = f"over {REFUSED}: split it" if lines > REFUSED else f"over {LISTED}"
        print(f"{path}: {lines} lines, {verdict}")
    return int(any(lines > REFUSED for lines, _ in found))


if __name__ == "__main__":
    sys.exit(main())
