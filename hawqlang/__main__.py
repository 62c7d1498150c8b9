"""Entry point of the `hawqc` command and of `python -m hawqlang`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from hawqlang.cli.app import app

    app(prog_name="hawqc")


if __name__ == "__main__":
    main()
