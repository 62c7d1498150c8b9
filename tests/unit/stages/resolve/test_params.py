"""Params, their types, and ``--set``."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.base import Precision
from hawqlang.diagnostics.model import ToolError
from tests.projects import Project


@pytest.mark.parametrize(
    ("kind", "written", "value", "text"),
    [
        ("int", "1_000", Fraction(1000), "1000"),
        ("int", "-3", Fraction(-3), "-3"),
        ("float", "0.1", Fraction(1, 10), "0.1"),
        ("float", "1e-30", Fraction(1, 10**30), "1e-30"),
        ("bool", "true", True, "true"),
        ("string", '"a \\"b\\" \\u{e9}"', 'a "b" é', '"a \\"b\\" é"'),
        ("size", "6 MiB", Fraction(6 * 2**20), "6 MiB"),
        ("size", "1.5 KB", Fraction(1500), "1.5 KB"),
        ("time", "250 us", Fraction(1, 4000), "250 us"),
        ("work", "3 GMACs", Fraction(3 * 10**9), "3 GMACs"),
        ("work", "60 GBOPS", Fraction(60 * 10**9), "60 GBOPS"),
        ("ratio", "99.99%", Fraction(9999, 10000), "99.99%"),
        ("precision", "w4a8", Precision(wbits=4, abits=8), "w4a8"),
    ],
)
def test_a_default_and_an_override_of_every_type(
    project: Project, kind: str, written: str, value: object, text: str
) -> None:
    (default,) = project.spec(f"param p: {kind} = {written}").params
    assert (default.value, default.text, default.overridden) == (value, text, False)
    typed = str(value) if kind == "string" else written
    (override,) = project.spec(f"param p: {kind}", overrides={"p": typed}).params
    assert (override.value, override.text, override.overridden) == (value, text, True)


@pytest.mark.parametrize(
    ("kind", "written", "code"),
    [
        ("int", "1.0", "HQ208"),
        ("int", "3 ms", "HQ216"),
        ("int", "true", "HQ208"),
        ("bool", "1", "HQ208"),
        ("string", "abc", "HQ208"),
        ("string", "4", "HQ208"),
        ("size", "6", "HQ217"),
        ("size", "6 ms", "HQ216"),
        ("work", "6", "HQ217"),
        ("ratio", "0.75", "HQ217"),
        ("precision", "w4", "HQ208"),
        ("precision", "w0a4", "HQ218"),
        ("precision", '"w4a4"', "HQ208"),
        ("float", "1 + 2", "HQ208"),
        ("float", "[1]", "HQ208"),
        ("sizes", "6 MiB", "HQ210"),
        ("size", "6 mib", "HQ213"),
    ],
)
def test_a_default_of_another_type_is_refused(
    project: Project, kind: str, written: str, code: str
) -> None:
    assert project.only(f"param p: {kind} = {written}").code == code


@pytest.mark.parametrize(
    ("kind", "typed", "code"),
    [
        ("int", "1.5", "HQ208"),
        ("int", "three", "HQ208"),
        ("int", "", "HQ208"),
        ("bool", "yes", "HQ208"),
        ("size", "6", "HQ217"),
        ("size", "6 ms", "HQ216"),
        ("size", "6 mib", "HQ213"),
        ("precision", "int8", "HQ208"),
        ("ratio", "1e999999999", "HQ208"),
    ],
)
def test_an_override_of_another_type_is_refused(
    project: Project, kind: str, typed: str, code: str
) -> None:
    found, diagnostics = project.resolve(f"param p: {kind}", overrides={"p": typed})
    assert found is None
    assert [d.code for d in diagnostics] == [code]


def test_a_required_param_without_value_is_an_error_of_the_spec(project: Project) -> None:
    assert project.only("param p: size").code == "HQ227"


def test_an_unknown_override_is_a_misuse_of_the_tool(project: Project) -> None:
    with pytest.raises(ToolError) as caught:
        project.resolve("param budget: size = 6 MiB", overrides={"budgte": "1", "x": "2"})
    assert [d.code for d in caught.value.diagnostics] == ["HQ219", "HQ219"]
    assert caught.value.diagnostics[0].help == "did you mean `budget`?"


def test_params_supply_values_of_every_kind(project: Project) -> None:
    before = (
        "param n: int = 4\nparam top: precision = w8a8\nparam fix: bool = false\n"
        'param grain: string = "per_tensor"'
    )
    body = (
        "precision = [w4a4, top]\nattempts = 2 * n\nbias_correction = fix\n"
        "weights { granularity = grain }"
    )
    found = project.spec(project.table(body, before)).builds[0]
    assert found.precision[1] == Precision(wbits=8, abits=8)
    assert found.attempts == 8
    assert found.bias_correction is False
    assert found.weights.granularity == "per_tensor"


def test_a_string_param_may_supply_a_word_and_a_part_of_a_path(project: Project) -> None:
    before = 'param level: string = "fast"\nparam folder: string = "."'
    text = project.table("precision = w8a8\neffort = level", before)
    text = text.replace('"net.json"', 'folder + "/net.json"')
    assert project.found(text) == []
    wrong = project.resolve(text, overrides={"level": "fats"})[1]
    assert [d.code for d in wrong] == ["HQ210"]


@pytest.mark.parametrize("name", ["size", "first", "kernel", "and", "same", "fp32", "w4a4"])
def test_reserved_names_are_refused_for_declarations_only(project: Project, name: str) -> None:
    assert project.only(f"param {name}: int = 1").code == "HQ203"
    body = f"precision = w8a8\nsubject to {{\n{name}: true\n}}"
    assert project.found(project.table(body)) == []


@pytest.mark.parametrize("name", ["count", "precision", "wbits", "model", "on", "report", "batch"])
def test_other_words_are_free(project: Project, name: str) -> None:
    assert project.found(f"param {name}: int = 1") == []
