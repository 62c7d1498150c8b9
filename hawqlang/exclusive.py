"""One process at a time: what reads a file, changes it and writes it back must not meet another that does."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def exclusive(folder: Path) -> Generator[None]:
    """Wait until no other process is in here for the same folder, and keep others out meanwhile.

    The folder itself is locked, so that no further file is left in it, and the lock goes with the process however it
    ends. Where a file system has no locks, nothing is kept out.
    """
    handle = -1
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle >= 0:
            os.close(handle)
