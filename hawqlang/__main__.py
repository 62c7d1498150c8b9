"""Entry point of the `hawqc` command and of `python -m hawqlang`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    from hawqlang.cli.app import run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
