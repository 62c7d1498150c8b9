"""The samples of the grammar folder: each is recognised as what its name and its message say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang.diagnostics.catalogue import entry
from hawqlang.resources import data_dir
from hawqlang.stages.parse import parse_text
from hawqlang.stages.parse.examples import first_trouble, known, read_sample, samples

FOLDER = data_dir("grammar") / "errors"
PATHS = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_case_of_a_sample_is_recognised(path: Path) -> None:
    sample = read_sample(path)
    pattern = sample.message.split("{")[0]

    for case in sample.cases or (path.read_text(encoding="utf-8"),):
        _, diagnostics = parse_text(case, path.name)
        assert [d.code for d in diagnostics] == [sample.code], case
        assert diagnostics[0].message.startswith(pattern), case
        assert "{" not in diagnostics[0].message.replace("`{`", ""), case


def test_every_sample_names_a_known_error_and_none_is_shadowed_by_another() -> None:
    used = set(known().values())

    assert {path.suffix for path in PATHS} == {".hawq"}
    for sample in samples(FOLDER):
        assert entry(sample.code) is not None
        assert not sample.message or sample in used, sample.message


def test_a_sample_holds_its_cases_and_what_to_say(tmp_path: Path) -> None:
    path = tmp_path / "HQ199_example.hawq"
    path.write_text("# message: no {found}\n# help: yes\n# any\nhawq 1\na\nhawq 1\nb\n")

    sample = read_sample(path)

    assert (sample.code, sample.message, sample.help) == ("HQ199", "no {found}", "yes")
    assert sample.any_token
    assert sample.cases == ("hawq 1\na\n", "hawq 1\nb\n")


def test_a_right_spec_has_no_trouble() -> None:
    assert first_trouble("hawq 1\n") is None


def test_a_message_names_what_was_found_in_words() -> None:
    _, (line,) = parse_text("hawq 1\nparam a: t = 1 +\n", "a")
    _, (brace,) = parse_text("hawq 1\nmodel m { a = }\n", "a")
    _, (file,) = parse_text("hawq 1\nparam a: t = [1] *", "a")
    _, (sign,) = parse_text("hawq 1\nparam a: t = * 2\n", "a")

    assert line.message == "`+` has nothing on its right"
    assert brace.message == "a value is missing after `=`"
    assert file.message == "`*` has nothing on its right"
    assert sign.message == "`*` stands where a value should"
