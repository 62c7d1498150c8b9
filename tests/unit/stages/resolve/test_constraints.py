"""Constraints become typed predicates, or say why not."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.base import Precision
from hawqlang.ir import spec
from tests.projects import Project

W4A4 = Precision(wbits=4, abits=4)
W8A8 = Precision(wbits=8, abits=8)


def compare(predicate: spec.Predicate) -> spec.Compare:
    assert isinstance(predicate, spec.Compare)
    return predicate


def terms(linear: spec.Linear) -> dict[str, Fraction]:
    """Return the coefficients by a short name of their metric."""
    found: dict[str, Fraction] = {}
    for term in linear.terms:
        of = term.of
        name = "count" if isinstance(of, spec.CountTerm) else f"{of.metric}@{of.at}"
        found[name] = found.get(name, Fraction(0)) + term.coefficient
    return found


# ---- arithmetic ----------------------------------------------------------------------------------


def test_a_bound_is_exact_and_in_base_units(project: Project) -> None:
    found = compare(project.constraint("latency <= 0.1 ms"))
    assert found.left.dimension == found.right.dimension == "time"
    assert found.right.constant == Fraction(1, 10_000)


@pytest.mark.parametrize("share", ["0.8 *", "80% of", "80% *", "4 / 5 *", "(100% - 20%) *"])
def test_every_way_to_write_a_share_is_the_same(project: Project, share: str) -> None:
    found = compare(project.constraint(f"size <= {share} size(w8a8)"))
    assert terms(found.right) == {"size@w8a8": Fraction(4, 5)}


def test_hawq_v3_bounds_between_two_baselines_collect_their_terms(project: Project) -> None:
    text = "bops <= bops(w4a4) + 25% of (bops(w8a8) - bops(w4a4))"
    found = compare(project.constraint(text))
    assert terms(found.right) == {"bops@w4a4": Fraction(3, 4), "bops@w8a8": Fraction(1, 4)}


def test_a_quotient_by_a_baseline_is_multiplied_through(project: Project) -> None:
    found = compare(project.constraint("size / size(fp32) <= 12.5%"))
    assert found.left.dimension == "size"
    assert terms(found.left) == {"size@None": Fraction(1)}
    assert terms(found.right) == {"size@fp32": Fraction(1, 8)}


def test_a_quotient_mixes_with_constants_and_both_sides(project: Project) -> None:
    found = compare(project.constraint("1 - size / size(fp32) >= 0.875"))
    assert terms(found.left) == {"size@fp32": Fraction(1), "size@None": Fraction(-1)}
    assert terms(found.right) == {"size@fp32": Fraction(7, 8)}
    chain = project.constraint("5% <= size / size(fp32) <= 12.5%")
    assert isinstance(chain, spec.And)
    assert terms(compare(chain.items[0]).left) == {"size@fp32": Fraction(1, 20)}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("size * latency <= 3", "HQ241"),
        ("size * size(w8a8) <= 3 MiB", "HQ241"),
        ("size of size(w8a8) <= 3 MiB", "HQ241"),
        ('size("fc") / size <= 10%', "HQ242"),
        ("size / (size(w8a8) - size(w4a4)) <= 10%", "HQ242"),
        ("size / size(w8a8) + size / size(w4a4) <= 1", "HQ242"),
        ("size / size(w8a8) <= size / size(w4a4)", "HQ242"),
        ("size / size(w8a8) <= switches", "HQ242"),
        ("size / latency(w8a8) <= 3", "HQ216"),
        ("size <= 6", "HQ217"),
        ("size <= 3 ms", "HQ216"),
        ("macs <= 3 GBOPS", "HQ216"),
        ("perturbation <= 5%", "HQ216"),
        ("switches <= 3 MiB", "HQ216"),
        ("size <= 6 MiB of size(w8a8)", "HQ216"),
        ("size <= 6 MiB * 2 MiB", "HQ216"),
        ("1 GB/s <= 2 GB/s", "HQ216"),
        ("size <= size(w8a8) / 0", "HQ209"),
        ("size <= 6 mib", "HQ213"),
        ('size <= "6 MiB"', "HQ208"),
        ("size <= true", "HQ208"),
        ("sizee <= 6 MiB", "HQ201"),
        ("box <= 6 MiB", "HQ204"),
        ("sum(all) <= 6 MiB", "HQ211"),
        ("latency(fp32) <= 3 ms", "HQ243"),
        ('switches("fc") <= 3', "HQ243"),
        ('peak_memory("fc") <= 3 MiB', "HQ243"),
        ("accuracy(fp32) >= 90%", "HQ243"),
        ("size(all, w4a4) <= 3 MiB", "HQ243"),
        ("size(w4a4, w8a8) <= 3 MiB", "HQ243"),
        ("size(at = w4a4) <= 3 MiB", "HQ212"),
        ("size(all where wbits == 4) <= 3 MiB", "HQ212"),
        ("size() <= 3 MiB", "HQ212"),
        ("fp32 <= 3 MiB", "HQ208"),
        ("all <= 3 MiB", "HQ208"),
    ],
)
def test_arithmetic_that_has_no_meaning_is_one_error(
    project: Project, text: str, code: str
) -> None:
    assert project.only(project.constrained(text)).code == code


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("size <= 6", "write `6 MiB` or `6 MB`"),
        ("latency <= 1.5", "write `1.5 ms` or `1.5 us`"),
        ("accuracy_drop <= 1", "write `1%`"),
        ("accuracy >= 0.9", "write `90%` or `0.9%`"),
        ("bops <= 2 * 30", "give `2 * 30` a unit, for example `GBOPS`"),
    ],
)
def test_a_missing_unit_is_offered(project: Project, text: str, offered: str) -> None:
    assert project.only(project.constrained(text)).help == offered


def test_both_dimensions_are_named(project: Project) -> None:
    found = project.only(project.constrained("size <= 3 ms"))
    assert found.message == "`size` is a size, `3 ms` is a time"


# ---- metrics -------------------------------------------------------------------------------------


def test_a_metric_takes_a_baseline_and_a_selector_together(project: Project) -> None:
    found = compare(project.constraint("size(w4a4, all except first, last) <= 3 MiB"))
    term = found.left.terms[0].of
    assert isinstance(term, spec.MetricTerm)
    assert term.at == W4A4
    assert isinstance(term.selector, spec.Difference)
    assert isinstance(term.selector.minus, spec.Union)


def test_a_precision_param_is_a_baseline(project: Project) -> None:
    found = compare(project.constraint("size <= size(top)", "param top: precision = w8a8"))
    assert terms(found.right) == {"size@w8a8": Fraction(1)}


def test_counts_carry_a_condition_on_the_layer(project: Project) -> None:
    found = compare(project.constraint("count(conv, linear where wbits == 4) >= 10"))
    count = found.left.terms[0].of
    assert isinstance(count, spec.CountTerm)
    assert isinstance(count.where, spec.PropertyCompare)
    assert isinstance(count.where.left, spec.PropertyOf)
    assert count.where.left.selector is None


# ---- layer properties ----------------------------------------------------------------------------


def test_a_property_compares_every_selected_layer(project: Project) -> None:
    found = project.constraint("precision(first, last) == w8a8")
    assert isinstance(found, spec.PropertyCompare)
    assert found.right == spec.PropertyValue(value=W8A8)


def test_a_chain_is_the_conjunction_of_its_neighbours(project: Project) -> None:
    found = project.constraint("4 <= wbits(all) <= 8")
    assert isinstance(found, spec.And)
    assert [item.op for item in found.items if isinstance(item, spec.PropertyCompare)] == [
        "<=",
        "<=",
    ]


def test_two_properties_compare_with_each_other(project: Project) -> None:
    found = project.constraint('wbits("a") <= abits("b")')
    assert isinstance(found, spec.PropertyCompare)
    assert isinstance(found.right, spec.PropertyOf)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("wbits == 4", "HQ244"),
        ("4 == abits", "HQ244"),
        ("wbits + 1 <= 4", "HQ244"),
        ("wbits(all) + 1 <= 4", "HQ248"),
        ("wbits(all) == w8a8", "HQ248"),
        ("precision(all) == 8", "HQ248"),
        ("precision(all) >= w8a8", "HQ248"),
        ("w8a8 == w4a4", "HQ248"),
        ("wbits(all) == 4.5", "HQ248"),
        ("wbits(all) == 4 MiB", "HQ248"),
        ("wbits(all) <= size", "HQ248"),
        ("wbits(all) == 32", "HQ209"),
        ("wbits(all) == 0", "HQ209"),
        ("wbits() == 4", "HQ212"),
        ("precision(all) == w4", "HQ218"),
        ("precision(all) == w17a8", "HQ218"),
        ("precision(all) == fp32", "HQ208"),
    ],
)
def test_properties_compare_only_with_their_like(project: Project, text: str, code: str) -> None:
    assert project.only(project.constrained(text)).code == code


def test_each_speaks_of_one_layer_at_a_time(project: Project) -> None:
    found = project.constraint('each "layer4.*": wbits == 4 implies abits >= 4')
    assert isinstance(found, spec.Each)
    assert isinstance(found.predicate, spec.Implies)


@pytest.mark.parametrize(
    "text",
    [
        "each all: size <= 4 MiB",
        "each all: wbits == 4 or count(all) == 3",
        "each all: (same precision across residual)",
        "count(all where size <= 3 MiB) >= 3",
        "count(all where wbits(first) == 4) >= 3",
    ],
)
def test_each_and_where_refuse_what_is_not_about_a_layer(project: Project, text: str) -> None:
    assert project.only(project.constrained(text)).code == "HQ258"


def test_a_param_may_be_called_like_a_property_until_both_could_be_meant(project: Project) -> None:
    param = "param wbits: int = 4"
    assert isinstance(project.constraint("wbits(all) >= wbits", param), spec.PropertyCompare)
    inside = project.only(project.constrained("each all: wbits >= 4", param))
    assert inside.code == "HQ244"


# ---- logic ---------------------------------------------------------------------------------------


def test_logic_nests_as_it_is_written(project: Project) -> None:
    found = project.constraint(
        "size <= 3 MiB implies wbits(first) == 8 implies not latency <= 2 ms or flag",
        "param flag: bool = true",
    )
    assert isinstance(found, spec.Implies)
    assert isinstance(found.right, spec.Implies)
    assert isinstance(found.right.right, spec.Or)
    assert found.right.right.items[1].kind == "truth"


def test_a_tie_takes_the_selector_to_its_right(project: Project) -> None:
    found = project.constraint('size <= 3 MiB and same wbits across "a.*", "b.*" except last')
    assert isinstance(found, spec.And)
    tie = found.items[1]
    assert isinstance(tie, spec.Same)
    assert tie.property == "wbits"
    assert isinstance(tie.selector, spec.Difference)


@pytest.mark.parametrize(
    "text", ["size", "3 MiB", "(first, last)", "channels >= 256", "wbits(all)", "[true]", "first"]
)
def test_what_is_no_condition_is_refused(project: Project, text: str) -> None:
    assert project.only(project.constrained(text)).code == "HQ240"


def test_long_runs_of_one_operator_do_not_nest(project: Project) -> None:
    terms_ = " + ".join(f'size("l{n}")' for n in range(90))
    assert compare(project.constraint(f"{terms_} <= 3 MiB")).op == "<="
    conditions = " and ".join(f'wbits("l{n}") == 4' for n in range(90))
    found = project.constraint(conditions)
    assert isinstance(found, spec.And)
    assert len(found.items) == 90


def test_deep_nesting_is_an_error_of_its_own(project: Project) -> None:
    assert project.only(project.constrained("not " * 65 + "true")).code == "HQ256"
    assert project.found(project.constrained("not " * 64 + "true")) == []


# ---- restrictions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "accuracy >= 90% and size <= 6 MiB",
        "accuracy >= 90% or size <= 6 MiB",
        "not accuracy <= 90%",
        "size <= 6 MiB implies accuracy >= 90%",
        "50% <= accuracy <= 90%",
        "accuracy - accuracy_drop >= 90%",
        "accuracy >= accuracy_drop",
        "2 * accuracy >= 90%",
    ],
)
def test_an_accuracy_constraint_is_one_comparison_with_a_constant(
    project: Project, text: str
) -> None:
    data = 'calibration = images("calib/")\nevaluation = images("eval/", labels = "labels.csv")'
    body = f"precision = w8a8\nsubject to {{\nc: {text}\n}}"
    assert project.only(project.network(data, body)).code == "HQ245"


def test_an_accuracy_bound_may_stand_on_either_side(project: Project) -> None:
    data = 'calibration = images("calib/")\nevaluation = images("eval/", labels = "labels.csv")'
    body = "precision = w8a8\nsubject to {\na: (1% >= accuracy_drop)\nb: accuracy > 50% + 10%\n}"
    first, second = project.spec(project.network(data, body)).builds[0].constraints
    assert compare(first.predicate).left.constant == Fraction(1, 100)
    assert compare(second.predicate).right.constant == Fraction(3, 5)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("peak_memory <= 2 MiB", True),
        ("2 MiB > peak_memory", True),
        ("peak_memory <= 80% of peak_memory(w8a8)", True),
        ("size <= 3 MiB implies peak_memory <= 2 MiB", True),
        ("size <= 3 MiB or peak_memory <= 2 MiB", True),
        ("peak_memory(w8a8) >= 2 MiB", True),
        ("peak_memory >= 2 MiB", False),
        ("peak_memory == 2 MiB", False),
        ("1 MiB <= peak_memory <= 2 MiB", False),
        ("size - peak_memory <= 2 MiB", False),
        ("not peak_memory <= 2 MiB", False),
        ("not not peak_memory <= 2 MiB", True),
        ("peak_memory <= 2 MiB implies size <= 3 MiB", False),
    ],
)
def test_peak_memory_takes_upper_bounds_only(project: Project, text: str, accepted: bool) -> None:
    assert project.found(project.constrained(text)) == ([] if accepted else ["HQ246"])


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("wbits(conv) == 4 implies size <= 3 MiB", True),
        ("not precision(first, last) == w8a8", True),
        ('not wbits("layer4.*") == 4', True),
        ("wbits(first) == 4 implies size <= 3 MiB", False),
        ('wbits("fc") == 4 implies wbits(all) == 4', False),
        ("size <= 3 MiB implies wbits(conv) == 4", False),
        ("each conv: wbits == 4 implies abits == 4", False),
        ("wbits(conv) == 4 or not size <= 3 MiB", False),
    ],
)
def test_a_premise_about_several_layers_is_doubtful(
    project: Project, text: str, warned: bool
) -> None:
    assert project.found(project.constrained(text)) == (["HQ247"] if warned else [])


def test_the_doubtful_premise_offers_each_with_its_layers(project: Project) -> None:
    found = project.only(project.constrained("not wbits(all except first, last) == 4"))
    assert found.help is not None
    assert "`each all except first, last: wbits …`" in found.help


# ---- the text of a constraint --------------------------------------------------------------------


def test_the_text_is_what_was_written_on_one_line(project: Project) -> None:
    text = '(\n  size <= 6  MiB   # the flash\n  and wbits("a  # b") == 4\n)'
    found = project.spec(project.constrained(text)).builds[0].constraints[0]
    assert found.text == '( size <= 6 MiB and wbits("a  # b") == 4 )'
    each = project.spec(project.constrained("each first,  last :  wbits == 8"))
    assert each.builds[0].constraints[0].text == "each first, last: wbits == 8"


def test_constraints_of_one_name_are_refused_and_any_name_is_allowed(project: Project) -> None:
    body = "precision = w8a8\nsubject to {\nsize: size <= 3 MiB\nlayer: true\nsize: true\n}"
    found = project.only(project.table(body))
    assert found.code == "HQ202"
    assert found.message == "two constraints are called `size`"
    assert found.span is not None
    assert found.labels[0].span.line == found.span.line - 2


def test_independent_errors_are_all_found_in_one_run(project: Project) -> None:
    text = "sizee <= 6 MiB and latency <= 3 MiB and wbits(frist) == 4"
    assert project.found(project.constrained(text)) == ["HQ201", "HQ216", "HQ249"]


def test_an_unknown_name_is_reported_once_with_its_other_places(project: Project) -> None:
    body = "precision = w8a8\nsubject to {\na: size <= budgt\nb: size <= 2 * budgt\n}"
    found = project.only(project.table(body))
    assert found.code == "HQ201"
    assert [label.message for label in found.labels] == ["and here"]


def test_what_leans_on_a_broken_declaration_is_not_reported_again(project: Project) -> None:
    text = project.constrained("size <= budget and flag", "param budget: size = 6\n")
    assert [d.code for d in project.resolve(text)[1] if d.code != "HQ201"] == ["HQ217"]
