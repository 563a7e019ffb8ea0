"""Edge rules on the whole way from embeddings over outcomes to metrics, by hand.

Embeddings are unit rows in a plane, given by their angle: an image's best class is the one nearest to it, and an image's score with a
prompt is the cosine of the angle between them. Proven elsewhere, and not repeated here:

- group absent from the top k, floored at 1/k and counted, and the value of a skew: test_measure.py, test_metrics_skew.py
- no class above the floor, k that takes every class, every image or every face, a value that does not occur: test_families.py
- ties of scores in a row or column, k outside the set, as plain functions: test_metrics_{classification,skew,retrieval}.py
- a candidate equal to its baseline differs by exactly 0, for every metric: test_metric_properties.py
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qbias.comparison import compare
from qbias.group_tables import class_table, group_table, recall_table
from qbias.measure import measure
from qbias.outcomes import outcomes_of
from qbias.protocol import Protocol
from qbias.records import Dataset, Evaluation, Insufficient, Measured, Outcomes
from qbias.significance import PairedTest

PAIR = {"name": "gender_mf", "column": "gender", "first": "masc", "second": "fem"}


def at(*degrees: float) -> np.ndarray:
    """Unit rows at these angles."""
    angle_N = np.deg2rad(np.array(degrees, dtype=float))
    return np.column_stack([np.cos(angle_N), np.sin(angle_N)]).astype(np.float32)


def classified(images: Sequence[float], classes: Sequence[float], label: Sequence[int], **given: Any) -> Outcomes:
    """Images and classes at angles; `given`: group columns as lists, facts otherwise."""
    columns = {name: cells for name, cells in given.items() if name in ("gender", "skin", "label2")}
    frame = pd.DataFrame({"id": [str(n) for n in range(len(images))], "path": "x", "label": label, "label2": -1, **columns}, dtype=object)
    facts = {"classes": [f"class {n}" for n in range(len(classes))], "templates": ["{}"], "ks": [1], "pairs": [PAIR] if columns else []}
    facts |= {"min_per_group": 1, "sign": "absolute", "class2": "each"} | {
        name: fact for name, fact in given.items() if name not in columns
    }
    texts = pd.DataFrame({"text": [f"class {n}" for n in range(len(classes))]})
    dataset = Dataset("facet", "classification", Path(), frame.astype({"label": int, "label2": int}), texts, facts, "d", "p")
    return outcomes_of(dataset, at(*images), at(*classes), Protocol())


def searched(images: Sequence[float], prompts: Sequence[float], groups: Sequence[str], *, k: int, values: Sequence[str]) -> Outcomes:
    """Images of one attribute `tint` and prompts at angles."""
    frame = pd.DataFrame({"id": [str(n) for n in range(len(images))], "path": "x", "tint": pd.Series(list(groups), dtype=object)})
    facts = {"attributes": {"tint": list(values)}, "k": k, "desired": "dataset"}
    texts = pd.DataFrame({"text": [f"prompt {n}" for n in range(len(prompts))]})
    return outcomes_of(Dataset("fairface", "skew", Path(), frame, texts, facts, "d", "p"), at(*images), at(*prompts), Protocol())


def retrieved(images: Sequence[float], captions: Sequence[float], image: Sequence[int], *ks: int) -> Outcomes:
    """Images and captions at angles; `image` says whose caption each is."""
    frame = pd.DataFrame({"id": [str(n) for n in range(len(images))], "path": "x"})
    texts = pd.DataFrame({"text": [f"caption {n}" for n in range(len(captions))], "image": image})
    dataset = Dataset("coco", "retrieval", Path(), frame, texts, {"ks": list(ks)}, "d", "p")
    return outcomes_of(dataset, at(*images), at(*captions), Protocol())


def measured(outcomes: Outcomes) -> dict[str, Measured]:
    return {row.name.partition("/")[2]: row for row in measure(outcomes)[0]}


def insufficient(outcomes: Outcomes) -> dict[str, Insufficient]:
    return {row.name.partition("/")[2]: row for row in measure(outcomes)[1]}


# ---- classification


def test_a_class_below_the_floor_counts_nowhere_but_stands_in_the_tables() -> None:
    # class 0 at 0: masc hit, miss; fem hit, hit: gap 1/2 - 2/2. class 1 at 90: masc hit, fem miss: gap 1, but one positive each.
    gender = ["masc", "masc", "fem", "fem", "masc", "fem"]
    outcomes = classified([0, 80, 10, 5, 90, 20], [0, 90], [0, 0, 0, 0, 1, 1], gender=gender, min_per_group=2)
    row = measured(outcomes)["gender_mf/max_disparity_at_1"]
    assert (row.value, row.counts["eligible_classes"], row.counts["first"], row.counts["second"]) == (0.5, 1, 2, 2)
    table = class_table(outcomes)
    assert table[["gap", "eligible"]].to_numpy().tolist() == [[-0.5, True], [1.0, False]]
    assert recall_table(outcomes)["eligible"].tolist() == [True, True, False, False]


def test_no_class_above_the_floor_gives_counts_and_no_number() -> None:
    outcomes = classified([0, 0, 90], [0, 90, 180], [0, 0, 1], gender=["masc", "fem", "fem"], min_per_group=2)
    found = insufficient(outcomes)
    assert {name for name in measured(outcomes)} == {"accuracy_at_1"}
    assert len(found) == 7 + 1
    # class 0 has one masc and one fem; class 1 has no masc.
    counts = {"eligible_classes": 0, "first": 0, "second": 0, "largest_smaller_group": 1, "min_per_group": 2}
    assert found["gender_mf/macro_gap_at_1"].counts == counts
    assert found["gender/worst_group_accuracy_at_1"].counts == {"groups": 2, "images_of_largest": 2, "min_per_group": 2}


def test_duplicate_class_names_tie_and_both_sides_take_the_lower_index() -> None:
    # Classes 0 and 2 have one name, so one embedding. Images 0 to 2 stand there, labelled 0, 0 and 2: the third is never found at 1.
    label, classes = [0, 0, 2, 1], [0, 90, 0, 200]
    baseline = classified([0, 10, 0, 90], classes, label, ks=[1, 2])
    candidate = classified([5, 15, 5, 95], classes, label, ks=[1, 2])
    for side in (baseline, candidate):
        assert side.frames["images"]["top_1"].tolist() == [0, 0, 0, 1]
        assert side.frames["images"]["top_2"].tolist()[:3] == [2, 2, 2]
        assert (measured(side)["accuracy_at_1"].value, measured(side)["accuracy_at_2"].value) == (3 / 4, 1.0)


def test_one_class_says_nothing() -> None:
    outcomes = classified([0, 50], [0], [0, 0], gender=["masc", "fem"])
    assert measured(outcomes) == {}
    assert {row.reason for row in insufficient(outcomes).values()} == {
        "k=1 takes all 1 classes, where every image is a hit",
        "k=1 takes all 1 classes, where every recall is 1",
    }
    assert not group_table(outcomes)["worst"].any()


def test_k_beyond_the_classes_is_never_a_number() -> None:
    outcomes = classified([0, 90, 0], [0, 90, 45], [0, 1, 0], gender=["masc", "fem", "fem"], ks=[1, 5])
    assert not [name for name in measured(outcomes) if name.endswith("_at_5")]
    beyond = [row for name, row in insufficient(outcomes).items() if name.endswith("_at_5")]
    assert len(beyond) == 1 + 7 + 1
    assert all(row.counts == {"classes": 3, "k": 5} for row in beyond)


def test_a_person_in_both_groups_counts_in_both() -> None:
    # class 0 at 0, class 1 at 90. lighter: hit, and the shared hit; darker: the shared hit, and a miss. Gap 2/2 - 1/2.
    pairs = [{"name": "skin_ld", "column": "skin", "first": "lighter", "second": "darker"}]
    outcomes = classified([0, 10, 80], [0, 90], [0, 0, 0], skin=["lighter", "lighter|darker", "darker"], pairs=pairs)
    found = measured(outcomes)
    assert found["skin_ld/max_disparity_at_1"].value == 0.5
    assert (found["skin_ld/max_disparity_at_1"].counts["first"], found["skin_ld/max_disparity_at_1"].counts["second"]) == (2, 2)
    assert found["skin/worst_group_accuracy_at_1"] == Measured(
        "facet/skin/worst_group_accuracy_at_1", 0.5, {"images": 3, "worst_group": 2, "groups": 2}
    )


@pytest.mark.parametrize(("gender", "groups"), [(["masc"] * 3, 1), ([""] * 3, 0)])
def test_an_attribute_of_one_value_or_none_compares_nothing(gender: list[str], groups: int) -> None:
    outcomes = classified([0, 90, 0], [0, 90], [0, 1, 1], gender=gender)
    assert {name: row.value for name, row in measured(outcomes).items()} == {"accuracy_at_1": 2 / 3}
    found = insufficient(outcomes)
    assert found["gender_mf/max_disparity_at_1"].counts["eligible_classes"] == 0
    assert found["gender/worst_group_accuracy_at_1"].counts == {
        "groups": groups, "images_of_largest": 3 * groups, "min_per_group": 1
    }  # fmt: skip
    assert not group_table(outcomes)["worst"].any()
    assert len(recall_table(outcomes)) == 2 * groups


# ---- skew


def test_ties_at_the_cut_keep_exactly_k_images_of_the_lowest_index() -> None:
    # The prompt at 0. Image 4 is best; 0, 1, 2 and 3 tie for two places, which go to 0 and 1: top three b, a, a of 2 a and 3 b.
    outcomes = searched([30, 30, 30, 30, 0], [0], list("aabbb"), k=3, values="ab")
    assert outcomes.frames["prompts"]["count"].tolist() == [2, 1]
    found = measured(outcomes)
    assert found["tint/max_skew_at_3"].value == pytest.approx(math.log((2 / 3) / (2 / 5)))
    assert found["tint/min_skew_at_3"].value == pytest.approx(math.log((1 / 3) / (3 / 5)))
    # The same images in another order: now b stand first, so the two places go to them.
    other = measured(searched([30, 30, 30, 30, 0], [0], list("bbaab"), k=3, values="ab"))
    assert other["tint/a/mean_skew_at_3"].value == pytest.approx(math.log((1 / 3) / (2 / 5)))  # none of a: the floor 1/3
    assert other["tint/a/mean_skew_at_3"].counts["floored"] == 1


def test_one_prompt_is_its_own_mean() -> None:
    # k = 1, the best is a: shares 1 and the floor 1/1 of the absent b, of .25 and .75. NDKL of one rank: ln(1/.25).
    outcomes = searched([0, 60, 70, 80], [0], list("abbb"), k=1, values="ab")
    found = {name: row.value for name, row in measured(outcomes).items()}
    expected = {"max_skew_at_1": 4, "min_skew_at_1": 4 / 3, "ndkl": 4, "a/mean_skew_at_1": 4, "b/mean_skew_at_1": 4 / 3}
    assert found == pytest.approx({f"tint/{name}": math.log(ratio) for name, ratio in expected.items()})
    assert measured(outcomes)["tint/max_skew_at_1"].counts == {"prompts": 1, "images": 4, "values": 2, "floored": 1}


@pytest.mark.parametrize(
    ("groups", "k", "reason", "counts"),
    [
        ("abab", 4, "k=4 takes all 4 images that have the attribute, where skew is 0 by construction", {"images": 4, "k": 4}),
        ("abab", 1000, "k=1000 takes all 4 images that have the attribute, where skew is 0 by construction", {"images": 4, "k": 1000}),
        ("aaaa", 2, "1 value occurs; a share needs at least two", {"images": 4, "values": 1}),
        (["", "", "", ""], 2, "no image has tint", {"images": 0}),
        (["a", "b", "", ""], 2, "k=2 takes all 2 images that have the attribute, where skew is 0 by construction", {"images": 2, "k": 2}),
    ],
)
def test_where_skew_says_nothing_there_is_a_reason_and_no_number(
    groups: Sequence[str], k: int, reason: str, counts: dict[str, int]
) -> None:
    outcomes = searched([0, 30, 60, 90], [0, 90], groups, k=k, values="ab")
    assert measured(outcomes) == {}
    found = insufficient(outcomes)
    assert len(found) == 3 + 2
    assert {(row.reason, *row.counts.items()) for row in found.values()} == {(reason, *counts.items())}


# ---- retrieval


def test_retrieval_at_k_of_all_items_says_nothing_about_either_way() -> None:
    # Two images, three captions: the second caption belongs to image 0 and stands nearer to image 1.
    outcomes = retrieved([0, 90], [0, 80, 90], [0, 0, 1], 1, 2, 3)
    assert {name: row.value for name, row in measured(outcomes).items()} == {
        "image_retrieval_recall_at_1": 2 / 3, "text_retrieval_recall_at_1": 1.0, "text_retrieval_recall_at_2": 1.0
    }  # fmt: skip
    assert {name: dict(row.counts) for name, row in insufficient(outcomes).items()} == {
        "image_retrieval_recall_at_2": {"images": 2, "k": 2},
        "image_retrieval_recall_at_3": {"images": 2, "k": 3},
        "text_retrieval_recall_at_3": {"captions": 3, "k": 3},
    }


def test_one_image_with_one_caption_says_nothing() -> None:
    assert measured(retrieved([0], [10], [0], 1)) == {}


def test_equal_captions_are_ranked_by_their_index() -> None:
    # Both images have the same caption: it finds image 0 better; image 1's own caption stands behind the equal one of image 0.
    outcomes = retrieved([0, 90], [20, 20], [0, 1], 1)
    assert outcomes.frames["captions"]["rank"].tolist() == [0, 1]
    assert outcomes.frames["images"]["rank"].tolist() == [0, 1]


# ---- equal sides


def test_a_candidate_equal_to_its_baseline_has_changed_by_exactly_nothing() -> None:
    def side(model: int, quantizer: str, version: str) -> Evaluation:
        random = np.random.default_rng(model)
        angles, prompts = random.uniform(0, 90, 30), random.uniform(0, 90, 3)
        groups = random.choice(["masc", "fem"], 30)
        outcomes = {
            "facet": classified(angles, [0, 40, 80], random.integers(0, 3, 30), gender=list(groups)),
            "coco": retrieved(angles, angles + random.normal(0, 3, 30), list(range(30)), 1, 5),
            "fairface": searched(angles, prompts, list(groups), k=10, values=("masc", "fem")),
        }
        found = {row.name: row.value for each in outcomes.values() for row in measure(each)[0]}
        return Evaluation(f"model-{model}", quantizer, version, "1", "x", "s", f"{model}-{version}", version, {}, outcomes, found)

    comparison = compare([side(model, *row) for model in range(3) for row in (("fp32", "1"), ("same", "2"))])
    assert {change.difference for change in comparison.changes} == {0.0}
    assert {row.changed for row in comparison.churn} == {0}
    tests = [cell.result for cell in comparison.cells if isinstance(cell.result, PairedTest)]
    assert len(tests) == (1 + 7 + 1) + (2 + 2) + (3 + 2)
    assert {(test.mean_difference, test.ci_low, test.ci_high, test.p) for test in tests} == {(0.0, 0.0, 0.0, 1.0)}
