"""Imports: what they bring, and where they may not lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang.diagnostics.model import ToolError
from hawqlang.stages.resolve import resolve, resolve_file
from tests.projects import Project

BUILD = "quantize net on box {\nprecision = w8a8\n}"


def library(project: Project, name: str = "lib.hawq", before: str = "") -> None:
    text = 'model net { source = layers("net.json") }\ntarget box { device = cpu.x86_64 }'
    project.write(name, f"{before}\n{text}")


def test_an_import_brings_declarations_whose_paths_are_relative_to_their_file(
    project: Project,
) -> None:
    library(project, "sub/lib.hawq")
    (project.folder / "sub" / "net.json").touch()
    found = project.spec(f'import "sub/lib.hawq"\n{BUILD}')
    source = found.builds[0].model.source
    assert source.kind == "layers"
    assert Path(source.path) == project.folder / "sub" / "net.json"
    assert [name for name, _ in found.sources] == ["sub/lib.hawq", "spec.hawq"]


def test_paths_stay_relative_to_the_working_directory(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    library(project, "sub/lib.hawq")
    project.write("main.hawq", f'import "sub/lib.hawq"\n{BUILD}')
    found, diagnostics = resolve_file(Path("main.hawq"))
    assert found is not None
    assert found.builds[0].model.source == found.models[0].source
    assert [d.message for d in diagnostics] == ["the model file `sub/net.json` is not there"]


def test_a_file_reached_twice_counts_once(project: Project) -> None:
    library(project)
    project.write("a.hawq", 'import "lib.hawq"')
    project.write("b.hawq", 'import "./lib.hawq"')
    found = project.spec(f'import "a.hawq"\nimport "b.hawq"\n{BUILD}')
    assert len(found.sources) == 4


def test_a_name_declared_in_two_files_is_an_error(project: Project) -> None:
    library(project)
    found = project.only(f'import "lib.hawq"\ntarget box {{ device = nvidia.t4 }}\n{BUILD}')
    assert found.code == "HQ202"
    assert found.labels[0].span.file.endswith("lib.hawq")


def test_a_file_sees_its_imports_and_not_its_importers(project: Project) -> None:
    project.write("lib.hawq", "target box {\ndevice = cpu.x86_64\nbatch = many\n}")
    text = (
        'import "lib.hawq"\nparam many: int = 8\nmodel net { source = layers("net.json") }\n'
        f"{BUILD}"
    )
    found = project.only(text)
    assert found.code == "HQ201"
    assert found.help is not None
    assert "does not import that file" in found.help


def test_builds_of_an_imported_file_are_not_built(project: Project) -> None:
    project.write("lib.hawq", project.table("precision = w8a8"))
    found = project.spec(f'import "lib.hawq"\n{BUILD.replace("w8a8", "w4a4")}')
    assert [str(build.precision[0]) for build in found.builds] == ["w4a4"]


def test_a_cycle_is_printed(project: Project) -> None:
    project.write("a.hawq", 'import "sub/b.hawq"')
    project.write("sub/b.hawq", 'import "../a.hawq"')
    found = project.only('import "a.hawq"')
    assert found.code == "HQ224"
    names = [Path(part).name for part in found.message.partition(": ")[2].split(" -> ")]
    assert names == ["a.hawq", "b.hawq", "a.hawq"]


def test_a_chain_of_imports_has_a_limit(project: Project) -> None:
    for n in range(70):
        project.write(f"a{n}.hawq", f'import "a{n + 1}.hawq"')
    assert project.found('import "a0.hawq"') == ["HQ225"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing.hawq", "HQ222"),
        ("calib.hawq", "HQ222"),
        ("../outside.hawq", "HQ223"),
        ("link.hawq", "HQ223"),
        ("secret.hawq", "HQ223"),
        ("loop.hawq", "HQ222"),
        ("/etc/x.hawq", "HQ221"),
        ("lib.txt", "HQ221"),
        ("", "HQ221"),
        ("a\\u{0}.hawq", "HQ221"),
        ("std/targets/nvidia_t5.hawq", "HQ222"),
        ("std/../../pyproject.hawq", "HQ223"),
    ],
)
def test_an_import_that_leads_astray_is_refused(
    project: Project, tmp_path_factory: pytest.TempPathFactory, path: str, code: str
) -> None:
    (project.folder / "calib.hawq").mkdir()
    (project.folder.parent / "outside.hawq").write_text("hawq 1\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.hawq"
    elsewhere.write_text("hawq 1\n")
    (project.folder / "link.hawq").symlink_to(elsewhere)
    (project.folder / "password").write_text("hunter2")
    (project.folder / "secret.hawq").symlink_to("password")
    (project.folder / "loop.hawq").symlink_to("loop.hawq")
    found = project.only(f'import "{path}"')
    assert found.code == code
    assert "hunter2" not in str(found)


def test_a_link_inside_the_project_is_followed(project: Project) -> None:
    library(project)
    (project.folder / "alias.hawq").symlink_to("lib.hawq")
    assert project.found(f'import "alias.hawq"\nimport "lib.hawq"\n{BUILD}') == []


def test_paths_in_a_linked_file_are_relative_to_where_it_lies(project: Project) -> None:
    library(project, "sub/lib.hawq", 'import "more.hawq"')
    project.write("sub/more.hawq", "")
    (project.folder / "sub" / "net.json").touch()
    (project.folder / "net.json").unlink()
    (project.folder / "alias.hawq").symlink_to("sub/lib.hawq")
    assert project.found(f'import "alias.hawq"\n{BUILD}') == []


def test_the_project_is_the_nearest_folder_with_a_repository(project: Project) -> None:
    library(project)
    main = project.write("deep/down/main.hawq", f'import "../../lib.hawq"\n{BUILD}')
    assert resolve_file(main)[0] is not None
    found, diagnostics = resolve_file(main, root=main.parent)
    assert found is None
    assert [d.code for d in diagnostics] == ["HQ223"]
    (project.folder / ".git").rmdir()
    assert resolve_file(main)[0] is None
    assert resolve_file(main, root=project.folder)[0] is not None


@pytest.mark.parametrize("name", ["missing.hawq", "calib", "password", "out.hawq", "loop.hawq"])
def test_a_main_file_that_cannot_be_read_is_a_misuse(project: Project, name: str) -> None:
    (project.folder / "password").write_text("hunter2")
    (project.folder / "out.hawq").symlink_to("/etc/hostname")
    (project.folder / "loop.hawq").symlink_to("loop.hawq")
    with pytest.raises(ToolError):
        resolve_file(project.folder / name)


def test_shipped_targets_are_imported_by_name(project: Project) -> None:
    text = (
        'import "std/targets/nvidia_t4.hawq"\nmodel net { source = layers("net.json") }\n'
        "quantize net on nvidia_t4 {\nprecision = w8a8\n}"
    )
    found = project.spec(text)
    assert found.builds[0].target.device.name == "nvidia.t4"
    assert found.sources[0][0] == "std/targets/nvidia_t4.hawq"


def test_unused_declarations_and_imports_are_warnings(project: Project) -> None:
    library(project)
    project.write("spare.hawq", "param spare: int = 1")
    text = f'import "lib.hawq"\nimport "spare.hawq"\nparam budget: size = 6 MiB\n{BUILD}'
    found = project.resolve(text)[1]
    assert [(d.code, d.severity) for d in found] == [("HQ215", "warning"), ("HQ214", "warning")]


def test_a_library_has_no_unused_declarations(project: Project) -> None:
    project.write("spare.hawq", "param spare: int = 1")
    found = project.spec('import "spare.hawq"\ntarget box { device = cpu.x86_64 }')
    assert found.builds == ()
    assert [target.name for target in found.targets] == ["box"]


def test_warnings_can_be_ignored_where_they_start(project: Project) -> None:
    text = project.table("precision = w8a8", "param a: int = 1 # hawq: ignore[HQ214]")
    assert project.found(text) == []
    idle = project.table("precision = w8a8 # hawq: ignore[HQ214]")
    assert project.found(idle) == ["HQ191"]


def test_comments_about_later_steps_and_missing_files_are_handed_on(project: Project) -> None:
    text = project.table("precision = w8a8 # hawq: ignore[HQ503]")
    (project.folder / "net.json").unlink()
    text = text.replace('layers("net.json") }', 'layers("net.json") } # hawq: ignore[HQ237]')
    found, diagnostics = project.resolve(text)
    assert found is not None
    assert [d.code for d in diagnostics] == ["HQ237"]
    assert [comment.codes for comment in found.ignores] == [("HQ237",), ("HQ503",)]


def test_syntax_errors_do_not_make_names_unknown(project: Project) -> None:
    text = project.constrained("size <= budget", "param budget size = 6 MiB")
    codes = project.found(text)
    assert len(codes) == 1
    assert codes[0].startswith("HQ1")


def test_a_spec_read_in_part_gets_no_warnings(project: Project) -> None:
    text = project.table("precision = w8a8 w4a4\nemit cuda").replace("net.json", "nte.json")
    assert [code[:3] for code in project.found(text)] == ["HQ1"]


def test_a_failed_import_does_not_make_names_unknown(project: Project) -> None:
    assert project.found(f'import "missing.hawq"\n{BUILD}') == ["HQ222"]


def test_renderers_get_the_text_of_every_file_that_may_be_quoted(project: Project) -> None:
    library(project)
    path = project.write("spec.hawq", f'import "lib.hawq"\n{BUILD}')
    found = resolve(path)
    assert {Path(name).name for name in found.sources} == {"spec.hawq", "lib.hawq"}
    assert found.sources[str(path)] == path.read_text(encoding="utf-8")
