"""How a fuzzer is started: by atheris with libFuzzer's options, or plainly with `--plain SECONDS`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

Target = TypeVar("Target", bound=Callable[[bytes], None])


def run(
    make: Callable[[Path], Target],
    plain: Callable[[Target, float], int],
    seed: Callable[[Any, Path], list[str]],
) -> None:
    """Feed a target until time is up; a finding ends it.

    Args:
        make: Makes the target in an empty folder.
        plain: Feeds inputs made by chance for some seconds, and returns how many.
        seed: Gets atheris and a folder for a corpus; returns what is added to the options.
    """
    with tempfile.TemporaryDirectory(prefix="hawqc-fuzz-") as name:
        folder = Path(name)
        (folder / "project").mkdir()
        target = make(folder / "project")
        if sys.argv[1:2] == ["--plain"]:
            sys.stdout.write(f"{plain(target, float(sys.argv[2]))} inputs, no finding\n")
            return
        atheris: Any = import_module("atheris")
        atheris.Setup([*sys.argv, *seed(atheris, folder)], target)
        atheris.Fuzz()
