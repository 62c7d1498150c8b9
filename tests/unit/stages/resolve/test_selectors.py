"""Selectors in all their forms."""

from __future__ import annotations

import pytest

from hawqlang.ir import spec
from hawqlang.ir.printer_spec import print_selector
from tests.projects import Project


def select(project: Project, text: str, before: str = "") -> spec.Selector:
    body = f"precision = [w4a4, w8a8]\nlayer {text} {{ bias_correction = false }}"
    return project.spec(project.table(body, before)).builds[0].layer_rules[0].selector


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("first, last", "first, last"),
        ("all except first, last", "all except first, last"),
        ("all except (first, last)", "all except first, last"),
        ("first, (last, conv)", "first, (last, conv)"),
        ("(all except first) except last", "(all except first) except last"),
        ("all except (conv except first)", "all except (conv except first)"),
        ("conv and kernel(3, 3) and channels >= 256", "conv and kernel(3, 3) and channels >= 256"),
        ("conv and (linear, first)", "conv and (linear, first)"),
        ('conv and "a.*", "b"', '(conv and "a.*"), "b"'),
        ("256 <= channels", "channels >= 256"),
        ("64 < channels < 256", "channels > 64 and channels < 256"),
        ("conv and 64 < channels <= 256", "conv and (channels > 64 and channels <= 256)"),
        ('"layers.{i}.attn.{part}"', '"layers.{i}.attn.{part}"'),
        ('"a" + ".*"', '"a.*"'),
        ("depthwise, pointwise, downsample", "depthwise, pointwise, downsample"),
        ("residual, shared_input", "residual, shared_input"),
    ],
)
def test_every_form_is_typed_and_prints(project: Project, text: str, printed: str) -> None:
    found = print_selector(select(project, text))
    assert found == printed
    assert print_selector(select(project, found)) == printed


def test_and_binds_tighter_than_the_comma_and_except_takes_what_follows(project: Project) -> None:
    found = select(project, 'conv, linear and "b" except first, last')
    assert isinstance(found, spec.Difference)
    assert isinstance(found.base, spec.Union)
    assert [item.kind for item in found.base.items] == ["keyword", "intersection"]
    assert isinstance(found.minus, spec.Union)


def test_a_string_param_is_a_pattern(project: Project) -> None:
    found = select(project, "tail", 'param tail: string = "layer4.*"')
    assert isinstance(found, spec.Glob)
    assert found.pattern == "layer4.*"


@pytest.mark.parametrize(
    ("text", "code", "offered"),
    [
        ("frist", "HQ249", "did you mean `first`?"),
        ("layer4.conv", "HQ249", 'layer names are quoted: `"layer4.conv"`'),
        ("backbone", "HQ249", 'layer names are quoted: `"backbone"`'),
        ("first or last", "HQ249", "a comma unites: `first, last`"),
        ("not first", "HQ249", "`except` takes away: `all except first`"),
        ("[first, last]", "HQ249", "selectors stand without brackets: `first, last`"),
        ("3", "HQ249", None),
        ("box", "HQ204", None),
        ("channels", "HQ249", "write `channels >= 256`"),
        ("kernel", "HQ249", "write `kernel(3, 3)`"),
        ("kernel(3)", "HQ212", "write `kernel(3, 3)`"),
        ("kernel(0, 3)", "HQ209", None),
        ("channels >= 2.5", "HQ208", None),
        ("channels >= 3 MiB", "HQ216", None),
        ("channels >= w4a4", "HQ208", None),
        ("linear >= 3", "HQ249", None),
        ('""', "HQ250", None),
        ('"a{b"', "HQ250", None),
        ('"a}b"', "HQ250", None),
        ('"a{1}b"', "HQ250", None),
        ('"{i}.{i}"', "HQ250", None),
        ('"a" + 3', "HQ208", None),
    ],
)
def test_what_selects_nothing_says_why(
    project: Project, text: str, code: str, offered: str | None
) -> None:
    body = f"precision = [w4a4, w8a8]\nlayer {text} {{ bias_correction = false }}"
    found = project.only(project.table(body))
    assert found.code == code
    if offered is not None:
        assert found.help == offered
