"""What differs between two entries, and how it is said."""

from __future__ import annotations

from pathlib import Path

from hawqlang.stages.lock.changes import binding, compare, standing
from hawqlang.stages.lock.locked import refusal
from hawqlang.stages.lock.words import differences, percent_words, since
from tests.support.allocation import build
from tests.support.locks import entry, origin


def test_the_same_entry_has_no_changes() -> None:
    assert compare("net", standing(entry()), standing(entry())).none()


def test_a_layer_change_has_its_share_of_the_size() -> None:
    found = compare("net", standing(entry()), standing(entry(("w8a8", "w4a4"))))
    (change,) = found.layers
    assert (change.layer, str(change.before), str(change.after)) == ("conv", "w4a4", "w8a8")
    assert (change.size_bytes, change.size_share) == (50.0, 0.5)
    assert list(since(found)) == ["conv w4a4 → w8a8, +50.0 % size", "size 100 B → 150 B (+50.0 %)"]


def test_a_layer_that_one_side_lacks_is_a_change() -> None:
    shorter = entry().replace(layers=entry().layers[:1])
    found = compare("net", standing(shorter), standing(entry()))
    (change,) = found.layers
    assert (change.layer, change.before, str(change.after)) == ("fc", None, "w4a4")
    assert change.size_share == 1.0


def test_causes_come_before_effects() -> None:
    after = entry(
        ("w8a8", "w4a4"), made_from=origin(settings=(("budget", "1 KiB"),), spec="f" * 64)
    ).replace(dyadic="0" * 64)
    lines = list(differences(compare("net", standing(entry()), standing(after))))
    assert [line.partition(":")[0] for line in lines] == [
        "--set budget",
        "spec net.hawq",
        "resolved spec",
        "dyadic numbers",
        "conv w4a4 → w8a8, +50.0 % size",
        "size 100 B → 150 B (+50.0 %)",
    ]


def test_what_only_a_build_knows_is_not_missed_in_a_plan() -> None:
    plan = entry().replace(dyadic=None, program=None)
    assert compare("net", standing(entry()), standing(plan)).none()


def test_an_accuracy_known_to_one_side_alone_is_no_change() -> None:
    known = standing(entry())
    more = known.replace(metrics=(*known.metrics, ("accuracy", 0.5)))
    assert compare("net", more, known).none()


def test_another_compiler_binds_and_another_library_does_not() -> None:
    before = standing(entry())
    library = standing(entry(made_from=origin(torch="3.0")))
    assert not compare("net", before, library).none()
    assert binding(compare("net", before, library)).none()
    versions = (("hawqc", "9"), ("torch", "2.0"))
    compiler = standing(entry(made_from=origin().replace(versions=versions)))
    assert not binding(compare("net", before, compiler)).none()


def test_small_shares_keep_two_digits() -> None:
    assert percent_words(-0.002) == "−0.2 %"
    assert percent_words(0.000123) == "+0.012 %"
    assert percent_words(0.5) == "+50.0 %"


def test_a_refusal_lists_a_dozen_differences_and_counts_the_rest() -> None:
    many = entry().replace(metrics=tuple((f"m{n}", float(n)) for n in range(30)))
    other = entry().replace(metrics=tuple((f"m{n}", float(n + 1)) for n in range(30)))
    found = refusal(Path("a.hawq.lock"), build(), many, other)
    assert found is not None
    assert found.code == "HQ863"
    assert len(found.notes) == 13
    assert found.notes[-1] == "and 18 more"
    assert refusal(Path("a.hawq.lock"), build(), many, many) is None
