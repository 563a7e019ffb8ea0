"""Open choices made another way: the altered outcomes are what evaluating so would have stored, and only what may change does."""

import numpy as np
import pytest

from qbias.measure import measure
from qbias.pairwise.sensitivity import alternatives, metrics_under, table_values
from tests.pairs import PROMPTS, classified, paired, searched, with_facts

SKIN = ("majority", "argmax", "any")


def _by_choice(outcomes):
    return {(row.choice, row.value): row.outcomes for row in alternatives(outcomes)}


def _logged(outcomes):
    return {row.name: row.value for row in measure(outcomes)[0]}


def test_every_open_choice_has_its_other_values():
    assert set(_by_choice(classified(floor=25))) == {
        ("facet_sign", "signed"), ("min_per_group", "10"), ("min_per_group", "50"), ("facet_class2", "either"), ("facet_class2", "drop"),
        ("skin_vote", "argmax"), ("skin_vote", "any"),
    }  # fmt: skip
    templates = {("prompts", f"only {template!r}") for template in (
        "This is the face of a {} person", "This is a photo of a {} person", "This person is {}",
    )}  # fmt: skip
    assert set(_by_choice(searched())) == {("desired", "uniform"), ("prompts", "first half"), ("prompts", "second half")} | templates


@pytest.mark.parametrize("outcomes", [classified(), classified(class2="either"), searched()], ids=["each", "either", "skew"])
def test_table_values_are_what_measure_gives_under_every_alternative(outcomes):
    for row in (outcomes, *_by_choice(outcomes).values()):
        logged = _logged(row)
        wanted = {"min_disparity", "max_disparity", "macro_gap", "min_skew", "max_skew"}
        expected = {name: value for name, value in logged.items() if name.split("/")[-1].rsplit("_at_", 1)[0] in wanted}
        assert table_values(row) == pytest.approx(expected)
    assert table_values(outcomes)


@pytest.mark.parametrize("here", ["each", "either", "drop"])
def test_a_swept_second_class_is_what_evaluating_so_gives(here):
    found = _by_choice(classified(class2=here))
    if here == "drop":
        # The images with a second class are not in these outcomes, so nothing can be swept.
        assert not [choice for choice, _ in found if choice == "facet_class2"]
    for value in {"each", "either", "drop"} - {here} if here != "drop" else ():
        assert _logged(found["facet_class2", value]) == _logged(classified(class2=value))


def test_a_swept_vote_floor_and_sign_are_what_evaluating_so_gives():
    own = classified()
    found = _by_choice(own)
    pairs = [own.facts["pairs"][0], own.facts["pairs"][1] | {"column": "skin_any"}]
    assert _logged(found["skin_vote", "any"]) == _logged(with_facts(own, pairs=pairs)) != _logged(own)
    assert _logged(found["min_per_group", "25"]) == _logged(classified(floor=25)) != _logged(own)
    assert found["facet_sign", "signed"].facts["sign"] == "signed"


def test_swept_prompts_are_those_alone():
    own = searched()
    found = _by_choice(own)
    for value, chosen in (("first half", range(6)), ("only 'This is a photo of a {} person'", range(4, 8))):
        part = found["prompts", value]
        assert part.frames["prompts"].drop_duplicates("prompt")["text"].tolist() == [PROMPTS[prompt] for prompt in chosen]
        for place, prompt in enumerate(chosen):
            np.testing.assert_array_equal(part.frames["images"][f"score_{place}"], own.frames["images"][f"score_{prompt}"])
        assert f"score_{len(chosen)}" not in part.frames["images"]


def test_a_change_that_does_not_depend_on_the_choice_stays():
    # The desired shares shift both sides of a group alike.
    sides = [searched(), searched(noise=0.5)]
    plain, uniform = ([_logged(row) for row in rows] for rows in (sides, [_by_choice(side)["desired", "uniform"] for side in sides]))
    name = "search/gender/female/mean_skew_at_30"
    assert plain[1][name] - plain[0][name] == pytest.approx(uniform[1][name] - uniform[0][name])
    assert plain[0][name] != uniform[0][name]


def test_metrics_under_gathers_models_and_precisions():
    base = searched()
    pairings = [paired(base, searched(noise=0.5), "a", "int8"), paired(base, searched(noise=1), "a", "nf4"), paired(base, base, "b", "nf4")]
    cells = {(row.choice, row.value, row.quantizer, row.metric): row for row in metrics_under(pairings)}
    one = cells["desired", "uniform", "nf4", "search/age/max_skew_at_30"]
    assert list(one.baseline) == list(one.candidate) == ["a", "b"]
    assert one.baseline["b"] == one.candidate["b"]
    assert one.candidate["a"] == _logged(_by_choice(searched(noise=1))["desired", "uniform"])["search/age/max_skew_at_30"]
    assert list(cells["prompts", "first half", "int8", "search/gender/min_skew_at_30"].baseline) == ["a"]


def test_choices_that_leave_nothing_to_measure_have_no_cell():
    own = classified(images=150)
    cells = metrics_under([paired(own, classified(images=150, noise=0.5))])
    assert not [row for row in cells if row.value == "50"]
    assert [row for row in cells if row.value == "25"] == []
    assert [row for row in cells if row.choice == "facet_sign"]
    assert metrics_under([]) == ()
    assert table_values(searched(k=90)) == table_values(searched(gender="", age="")) == {}


def test_what_has_no_open_choice_has_no_alternative():
    assert alternatives(with_facts(classified(), pairs=[])) == ()
    without = classified()
    images = without.frames["images"].drop(columns=["skin_argmax", "skin_any"]).assign(label2=-1)
    plain = type(without)(**{**vars(without), "frames": {"images": images}})
    assert {choice for choice, _ in _by_choice(plain)} == {"facet_sign", "min_per_group"}
