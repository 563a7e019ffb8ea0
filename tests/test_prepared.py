"""What metrics share is computed once, and right."""

from dataclasses import replace

import numpy as np

from qbias.metrics import members, recall_gaps
from qbias.prepared import Prepared
from tests.made import made_outcomes


def test_gaps_count_a_person_under_each_class() -> None:
    outcomes = made_outcomes("classification")
    prepared, images = Prepared(outcomes), outcomes.frames["images"]
    both = images["label2"] >= 0
    label = np.concatenate([images["label"], images["label2"][both]])
    gender = np.concatenate([images["gender"], images["gender"][both]]).astype(object)
    second_hit = images["top_1"][both] == images["label2"][both]
    hit = np.concatenate([images["hit_at_1"], second_hit])
    expected = recall_gaps(label, hit, members(gender, "masc"), members(gender, "fem"), classes=8, min_per_group=5)
    assert np.array_equal(prepared.gaps["gender_mf", 1].gap_C, expected.gap_C)
    assert set(prepared.gaps) == {(pair, k) for pair in ("gender_mf", "skin_ld") for k in (1, 5)}
    assert prepared.gaps is prepared.gaps


def test_skews_leave_out_images_without_the_attribute() -> None:
    outcomes = made_outcomes("skew")
    prepared, images = Prepared(outcomes), outcomes.frames["images"]
    found = prepared.skews("mood")
    assert found.groups == ("calm", "lively")
    assert (found.count_PG.sum(axis=1) == 30).all()
    annotated = images[images["mood"] != ""]
    assert found.desired_G.tolist() == [(annotated["mood"] == name).mean() for name in found.groups]
    top = annotated["score_3"].nlargest(30).index
    assert found.count_PG[3].tolist() == [(images["mood"][top] == name).sum() for name in found.groups]
    assert prepared.skews("mood") is found


def test_scores_are_read_in_the_order_of_the_prompts() -> None:
    outcomes = made_outcomes("skew", prompts=12)
    assert np.array_equal(Prepared(outcomes).score_NP[:, 10], outcomes.frames["images"]["score_10"])


def test_two_attributes_together_are_a_group_column_too() -> None:
    prepared = Prepared(made_outcomes("classification", min_per_group=110))
    assert list(prepared.group_columns) == [("gender",), ("skin",), ("gender", "skin")]
    both, images = prepared.group_sizes["gender", "skin"], prepared.outcomes.frames["images"]
    assert both["masc & lighter"] == ((images["gender"] == "masc") & images["skin"].str.contains("lighter")).sum()
    assert prepared.compared_groups(("gender",), 1) == ("fem", "masc")
    assert prepared.compared_groups(("gender",), 8) == (), "every image is a hit among all 8 classes"
    assert prepared.compared_groups(("gender", "skin"), 1) == (), "only masc & lighter is large enough"


def test_attributes_without_a_pair_are_groups_too() -> None:
    outcomes = made_outcomes("classification")
    more = replace(outcomes, facts={**outcomes.facts, "pairs": outcomes.facts["pairs"][:1], "groups": ["skin"]})
    assert list(Prepared(more).group_columns) == [("gender",), ("skin",), ("gender", "skin")]
