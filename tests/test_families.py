"""When a metric must not be computed: the reason and the counts stand in its place."""

import pytest

from qbias.families import name_part, slug
from qbias.measure import measure
from qbias.records import Insufficient
from tests.made import made_outcomes, skew


def missing(kind: str, part: str, **facts: object) -> list[Insufficient]:
    measured, insufficient = measure(made_outcomes(kind, **facts))
    assert not {row.name for row in measured} & {row.name for row in insufficient}
    return [row for row in insufficient if part in row.name]


def test_k_that_takes_every_class() -> None:
    found = missing("classification", "_at_5", classes=5)
    names = {row.name for row in found}
    assert names >= {"facet/accuracy_at_5", "facet/skin_ld/max_disparity_at_5", "facet/gender-and-skin/worst_group_accuracy_at_5"}
    assert found[0].reason == "k=5 takes all 5 classes, where every image is a hit"
    assert found[0].counts == {"classes": 5, "k": 5}
    assert not missing("classification", "_at_1", classes=5)


def test_no_class_above_the_floor() -> None:
    found = missing("classification", "gender_mf", min_per_group=10_000)
    assert len(found) == 7 * 2
    assert found[0].reason == "no class has 10000 positives in both groups"
    assert found[0].counts["eligible_classes"] == 0
    assert 0 < found[0].counts["largest_smaller_group"] < 400


def test_a_class_below_the_floor_is_left_out() -> None:
    measured, _ = measure(made_outcomes("classification", min_per_group=25))
    (row,) = [row for row in measured if row.name == "facet/gender_mf/max_disparity_at_1"]
    assert 0 < row.counts["eligible_classes"] < 8


def test_one_group_above_the_floor_has_nobody_to_be_worse_than() -> None:
    # Of the four intersections only masc & lighter has 110 images.
    found = missing("classification", "worst_group", min_per_group=110)
    assert {row.name for row in found} == {f"facet/gender-and-skin/worst_group_accuracy_at_{k}" for k in (1, 5)}
    assert found[0].reason == "fewer than two groups have 110 images"
    assert dict(found[0].counts) == {"groups": 4, "images_of_largest": 122, "min_per_group": 110}


@pytest.mark.parametrize(("images", "expected"), [(10, ["coco/image_retrieval_recall_at_10"]), (11, [])])
def test_k_that_takes_every_image(images: int, expected: list[str]) -> None:
    found = missing("retrieval", "image_retrieval", images=images)
    assert [row.name for row in found] == expected


def test_k_that_takes_every_face() -> None:
    found = missing("skew", "fairface/", k=300)
    assert len(found) == 3 * 3 + 7, "all of them: three summaries of three attributes, seven values"
    assert "takes all 300 images that have the attribute, where skew is 0 by construction" in found[0].reason
    assert len(missing("skew", "mood", k=250)) == 3 + 2, "only some faces have a mood"
    assert not missing("skew", "gender", k=250)


def test_a_value_that_does_not_occur_is_named() -> None:
    values = {"gender": ["Male", "Female", "Other"]}
    (row,) = missing("skew", "gender", attributes=values)
    assert (row.name, row.reason) == ("fairface/gender/other/mean_skew_at_30", "no image has gender 'Other'")


def test_an_attribute_of_one_value_has_no_skew() -> None:
    from qbias.outcomes import outcomes_of
    from qbias.protocol import Protocol

    dataset, image_ND, text_MD = skew()
    dataset.images["gender"] = "Male"
    _, insufficient = measure(outcomes_of(dataset, image_ND, text_MD, Protocol()))
    assert {row.reason for row in insufficient if "/gender/" in row.name} == {"1 value occurs; a share needs at least two"}


def test_names_that_make_one_metric_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"share a metric name \(fairface/race/east-asian/mean_skew_at_30\)"):
        measure(made_outcomes("skew", attributes={"race": ["East Asian", "east-asian"]}))
    pairs = [{"name": name, "column": "gender", "first": "masc", "second": "fem"} for name in ("m f", "m-f")]
    with pytest.raises(ValueError, match="facet/m-f/min_disparity_at_1"):
        measure(made_outcomes("classification", pairs=pairs))


def test_one_prompt_is_enough() -> None:
    measured, insufficient = measure(made_outcomes("skew", prompts=1))
    assert len(measured) == 16
    assert not insufficient


def test_names_are_safe_in_metric_names() -> None:
    assert [slug(value) for value in ("Male", "Southeast Asian", "70+", "é")] == ["male", "southeast-asian", "70", "unnamed"]
    assert [name_part(name) for name in ("skin_ld", "a/b c", "größe")] == ["skin_ld", "a-b-c", "gr-e"]
