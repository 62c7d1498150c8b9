from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def listed(folder: Path, repository: Path) -> subprocess.CompletedProcess[str]:
    script = repository / "tools" / "module_length.py"
    return subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False
    )


def test_long_module_is_listed_and_passes(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "short.py").write_text("x = 1\n" * 400)
    (tmp_path / "long.py").write_text("x = 1\n" * 401)
    done = listed(tmp_path, repository)
    assert done.returncode == 0
    assert "long.py: 401 lines" in done.stdout
    assert "short.py" not in done.stdout


def test_module_beyond_800_lines_fails(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "huge.py").write_text("x = 1\n" * 801)
    done = listed(tmp_path, repository)
    assert done.returncode == 1
    assert "huge.py: 801 lines" in done.stdout
