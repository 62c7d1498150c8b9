"""The wheel, built from the sdist, works where the checkout is not."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


def run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "HAWQ_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, Path]:
    """Return sdist and wheel; `build` makes the wheel from the unpacked sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, repository], folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder whose own packages must not get in its way."""

    programs: Path
    folder: Path

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run([self.programs / command[0], *command[1:]], self.folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, built: tuple[Path, Path]) -> Installed:
    """Return the wheel installed in an environment of its own that borrows this one's dependencies.

    A path file lends the other packages. Path files *inside* a lent folder are not read, so an
    editable install of this checkout stays invisible: `hawqlang` can only come from the wheel.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True, with_pip=False)
    python = environment / "bin" / "python"
    purelib = Path(
        run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], environment
        ).stdout.strip()
    )
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    purelib.joinpath("lent.pth").write_text("\n".join(sorted(lent)) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    done = run([*pip, "--quiet", built[1]], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path_factory.mktemp("project")
    for name in ("codegen", "grammar", "templates"):
        package = folder / name
        package.mkdir()
        package.joinpath("__init__.py").write_text("raise ImportError('not the compiler')\n")
    return Installed(environment / "bin", folder)


@pytest.fixture(scope="module")
def names(built: tuple[Path, Path]) -> frozenset[str]:
    with zipfile.ZipFile(built[1]) as wheel:
        return frozenset(wheel.namelist())


@pytest.mark.parametrize("folder", ["grammar", "templates", "specs"])
def test_wheel_carries_every_data_file(
    folder: str, names: frozenset[str], repository: Path
) -> None:
    wanted = {
        f"hawqlang/_data/{path.relative_to(repository).as_posix()}"
        for path in (repository / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted
    assert wanted <= names


def test_wheel_carries_every_module(names: frozenset[str], repository: Path) -> None:
    roots = {"hawqlang": repository, "hawqlang_codegen": repository / "codegen"}
    wanted = {
        path.relative_to(root).as_posix()
        for package, root in roots.items()
        for path in (root / package).rglob("*.py")
    }
    assert wanted <= names


def test_wheel_claims_no_name_that_other_projects_use(names: frozenset[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "hawqlang",
        "hawqlang_codegen",
    }


def test_sdist_can_run_its_own_tests(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
    assert {
        "Makefile",
        "constraints.txt",
        "tests/conftest.py",
        "docs/record.py",
        "mkdocs.yml",
    } <= inside


def test_program_and_module_start_beside_packages_of_the_same_names(installed: Installed) -> None:
    for command in (["hawqc", "--help"], ["python", "-m", "hawqlang", "--help"]):
        done = installed(*command)
        assert done.returncode == 0, done.stderr
        assert "verify" in done.stdout


def test_starter_passes_check_from_the_wheel(installed: Installed) -> None:
    made = installed("python", "-m", "hawqlang", "init", "first")
    assert made.returncode == 0, made.stderr
    checked = installed("python", "-m", "hawqlang", "check", "first/first.hawq")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_starter_builds_and_verifies_from_the_wheel(installed: Installed) -> None:
    assert installed("hawqc", "init", "second").returncode == 0
    built = installed("hawqc", "build", "second/second.hawq")
    assert built.returncode == 0, built.stdout + built.stderr
    verified = installed("hawqc", "verify", "build/digits")
    assert verified.returncode == 0, verified.stdout + verified.stderr
