"""The bundle in the hands of a program in C or C++: compiled, run, misused, and watched by sanitizers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from hawqlang.runtime import supported
from hawqlang_codegen.tvm.build import c_compiler
from tests.unit.codegen.tvm.conftest import Built

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
DRIVE = Path(__file__).with_name("drive.c")


def tool(*names: str) -> str:
    """The first of some programs that this machine has; the test is skipped where it has none."""
    for name in names:
        if shutil.which(name):
            return name
    pytest.skip(f"this machine has no {' or '.join(names)}")


def done(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A finished command."""
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def output(command: list[str], folder: Path, **environment: str) -> str:
    """What a command that must succeed prints."""
    result = done(command, folder, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def bundle(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the built folder, with images beside it."""
    folder = tmp_path_factory.mktemp("deploy") / "bundle"
    shutil.copytree(built.folder, folder)
    (folder / "one").write_bytes(built.images[0].tobytes())
    (folder / "all").write_bytes(built.images.tobytes())
    (folder / "logits").write_bytes(built.logits.tobytes())
    return folder


def answers(built: Built) -> list[str]:
    """What the examples print for every image."""
    return [f"class {row.argmax()}, logit {row.max()}" for row in built.logits]


@pytest.mark.parametrize("standard", ["c99", "c11", "c17"])
def test_the_example_in_c_gives_the_logits(bundle: Path, built: Built, standard: str) -> None:
    compiler = [*c_compiler(), *STRICT, f"-std={standard}", "-O2", "-I."]
    output([*compiler, "example.c", "model.so", "-Wl,-rpath,$ORIGIN", "-o", "example"], bundle)
    for threads in ("1", "3"):
        found = output(["./example", "one", threads], bundle).splitlines()
        assert found[0] == "input: uint8[12, 10, 3]"
        assert found[1] == "output: int32[10]"
        assert found[2].endswith(f", threads: {threads}")
        assert found[3] == answers(built)[0]


def test_the_example_in_c_says_what_is_wrong(bundle: Path, tmp_path: Path) -> None:
    compiler = [*c_compiler(), "-I.", "example.c", "model.so", "-Wl,-rpath,$ORIGIN"]
    output([*compiler, "-o", "example"], bundle)
    (bundle / "short").write_bytes(b"x" * 359)
    (bundle / "long").write_bytes(b"x" * 361)
    cases = {
        ("short", "1"): "short has fewer than the 360 bytes of an image",
        ("long", "1"): "long has more than the 360 bytes of an image",
        ("nothing", "1"): "nothing cannot be opened",
        ("one", "-1"): "the number of threads (options, HAWQ_THREADS) is not from 1 to 256",
    }
    for arguments, words in cases.items():
        result = done(["./example", *arguments], bundle)
        assert result.returncode == 1
        assert words in result.stderr
    assert "sse9" in done(["./example", "one"], bundle, HAWQ_ISA="sse9").stderr
    for name in ("example", "model.so", "one"):
        shutil.copy(bundle / name, tmp_path)
    missing = done(["./example", "one"], tmp_path)
    assert missing.returncode == 1
    assert f"{tmp_path}/weights.bin cannot be opened: No such file" in missing.stderr
    data = (bundle / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:-64] + bytes([data[-64] ^ 255]) + data[-63:])
    assert "is of another model: digest" in done(["./example", "one"], tmp_path).stderr


@pytest.mark.parametrize("standard", ["c++17", "c++20"])
def test_the_example_in_cpp_gives_the_logits(bundle: Path, built: Built, standard: str) -> None:
    compiler = [tool("c++", "g++", "clang++"), *STRICT, f"-std={standard}", "-I."]
    command = [*compiler, "example.cpp", "model.so", "-Wl,-rpath,$ORIGIN", "-o", "example_cpp"]
    output(command, bundle)
    assert output(["./example_cpp", "all"], bundle).splitlines() == answers(built)
    (bundle / "odd").write_bytes(b"x" * 361)
    refused = done(["./example_cpp", "odd"], bundle)
    assert refused.returncode == 1
    assert "361 bytes are no whole number of images of 360" in refused.stderr


@pytest.mark.parametrize("standard", ["c++11", "c++14"])
def test_the_header_suits_older_cpp(bundle: Path, standard: str) -> None:
    compiler = [tool("c++", "g++", "clang++"), *STRICT, f"-std={standard}"]
    output([*compiler, "-fsyntax-only", "-x", "c++", "hawq_runtime.h"], bundle)


def test_cmake_builds_the_examples_and_serves_another_project(
    bundle: Path, built: Built, tmp_path: Path
) -> None:
    cmake = tool("cmake")
    tool("c++", "g++", "clang++")
    output([cmake, "-S", ".", "-B", str(tmp_path / "alone")], bundle)
    output([cmake, "--build", str(tmp_path / "alone")], bundle)
    assert output([str(tmp_path / "alone" / "example_cpp"), "all"], bundle).splitlines() == (
        answers(built)
    )
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(bundle / "example.c", project / "mine.c")
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(mine C)\n"
        f'add_subdirectory("{bundle}" model)\n'
        "add_executable(mine mine.c)\ntarget_link_libraries(mine PRIVATE hawq::model)\n"
    )
    output([cmake, "-S", ".", "-B", "out"], project)
    output([cmake, "--build", "out"], project)
    assert answers(built)[0] in output(["out/mine", str(bundle / "one")], project)


def test_pkg_config_names_header_and_library(bundle: Path, built: Built, tmp_path: Path) -> None:
    config = tool("pkg-config", "pkgconf")
    flags = output([config, "--cflags", "--libs", str(bundle / "hawq.pc")], tmp_path)
    shutil.copy(bundle / "example.c", tmp_path)
    output([*c_compiler(), "example.c", *shlex.split(flags), "-o", "example"], tmp_path)
    assert answers(built)[0] in output(["./example", str(bundle / "one")], tmp_path)


def sanitized(bundle: Path, folder: Path, sanitizer: str) -> Path:
    """The driver, the run time and the kernels as one watched program; skipped where the compiler cannot."""
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g", "-O1", "-pthread"]
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    for command in ([*c_compiler(), *flags, "probe.c", "-o", "probe"], ["./probe"]):
        if done(command, folder).returncode:
            pytest.skip(f"the compiler has no working -fsanitize={sanitizer}")
    shutil.copy(DRIVE, bundle)
    objects = sorted(path.name for path in bundle.glob("kernels_*.o"))
    sources = ["drive.c", "hawq_runtime.c", *objects, "-ldl"]
    program = folder / "drive"
    output([*c_compiler(), *flags, "-std=gnu11", "-I.", *sources, "-o", str(program)], bundle)
    return program


def drive(program: Path, bundle: Path, built: Built, threads: int, isa: str, **env: str) -> None:
    arguments = ["all", "logits", str(len(built.images)), "weights.bin", str(threads)]
    result = done([str(program), *arguments], bundle, HAWQ_ISA=isa, **env)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_address_and_undefined_behaviour_sanitizers_find_nothing(
    bundle: Path, built: Built, tmp_path: Path
) -> None:
    program = sanitized(bundle, tmp_path, "address,undefined")
    for isa in supported(built.folder):
        for threads in (1, 3):
            drive(program, bundle, built, threads, isa)


def test_the_thread_sanitizer_finds_nothing(bundle: Path, built: Built, tmp_path: Path) -> None:
    program = sanitized(bundle, tmp_path, "thread")
    for threads in (1, 3):
        drive(program, bundle, built, threads, supported(built.folder)[0], WITHOUT_FORK="1")
