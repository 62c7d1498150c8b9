"""Entry point of the `hawqc` command and of `python -m hawqlang`."""

from __future__ import annotations

import atexit
import gc
import sys


def main() -> None:
    """Run the command line."""
    gc.set_threshold(100_000, 50, 100)  # starting makes many objects and no garbage
    atexit.register(
        gc.freeze
    )  # nor does ending look for some: it would take a quarter of a short command
    from hawqlang.cli.app import run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
