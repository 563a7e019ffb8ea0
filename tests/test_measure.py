"""Every metric: its names, and its golden values by hand."""

import math
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from qbias import measure as module
from qbias.group_tables import class_table, group_table
from qbias.measure import METRICS, Metric, harm_of, measure
from qbias.outcomes import outcomes_of
from qbias.prepared import Prepared
from qbias.protocol import Protocol
from qbias.records import Measured, Outcomes
from tests.made import MAKERS, made_outcomes

MLFLOW_NAME = re.compile(r"[\w\-.:/ ]{1,250}", re.ASCII)
FACET_PAIRS = {"gender_mf": "gender", "skin_ld": "skin", "age_my": "age", "age_mo": "age"}
FACET_ATTRIBUTES = ("gender", "skin", "age")


def values(outcomes: Outcomes) -> dict[str, float]:
    return {row.name: row.value for row in measure(outcomes)[0]}


# ---- names


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.pattern)
def test_every_row_measures_something(row: Metric) -> None:
    outcomes = made_outcomes(row.kind)
    results = list(row.compute(Prepared(outcomes), row.pattern))
    assert results
    for result in results:
        assert isinstance(result, Measured)
        assert math.isfinite(result.value)
        assert MLFLOW_NAME.fullmatch(result.name)
        assert harm_of(result.name) == row.harm
        assert result.counts
        assert all(isinstance(number, int) for number in result.counts.values())


def protocol_names() -> dict[str, set[str]]:
    """protocol.md 8, written out, and beyond it the worst group of each attribute and of each two together."""
    facet = {f"facet/accuracy_at_{k}" for k in (1, 5)}
    groups = [*FACET_ATTRIBUTES, *("-and-".join(both) for both in combinations(FACET_ATTRIBUTES, 2))]
    facet |= {f"facet/{name}/worst_group_accuracy_at_{k}" for name in groups for k in (1, 5)}
    for pair in FACET_PAIRS:
        for k in (1, 5):
            facet.add(f"facet/{pair}/macro_gap_at_{k}")
            facet |= {f"facet/{pair}/{end}_{kind}disparity_at_{k}" for end in ("min", "max") for kind in ("", "signed_", "absolute_")}
    people = {"gender": ("male", "female"), "race": ("white", "east-asian"), "age": ("younger", "middle", "older")}
    fairface = {f"fairface/{name}/{end}" for name in people for end in ("min_skew_at_1000", "max_skew_at_1000", "ndkl")}
    fairface |= {f"fairface/{name}/{value}/mean_skew_at_1000" for name, listed in people.items() for value in listed}
    coco = {f"coco/{way}_retrieval_recall_at_{k}" for way in ("image", "text") for k in (1, 5, 10)}
    return {"facet": facet, "fairface": fairface, "coco": coco, "imagenet": {"imagenet/accuracy_at_1", "imagenet/accuracy_at_5"}}


def test_no_metric_of_the_protocol_is_forgotten() -> None:
    rng = np.random.default_rng(0)
    facet, image_ND, text_MD = MAKERS["classification"](0)
    ends = {"gender": ("masc", "fem"), "skin": ("lighter", "darker"), "age": ("middle", "older")}
    pairs = [dict(zip(("name", "column", "first", "second"), (*row, *ends[row[1]]), strict=True)) for row in FACET_PAIRS.items()]
    facet = replace(facet, facts={**facet.facts, "pairs": pairs}, images=facet.images.assign(age=rng.choice(ends["age"], len(image_ND))))
    imagenet = replace(facet, benchmark="imagenet", facts={**facet.facts, "pairs": []})
    attributes = {"gender": ["Male", "Female"], "race": ["White", "East Asian"], "age": ["younger", "middle", "older"]}
    fairface, face_ND, prompt_PD = MAKERS["skew"](0, images=1_500, attributes=attributes, k=1_000)
    columns = {name: rng.choice(listed, 1_500).astype(object) for name, listed in attributes.items()}
    fairface = replace(fairface, images=fairface.images.assign(**columns))
    found = {
        "facet": values(outcomes_of(facet, image_ND, text_MD, Protocol())),
        "imagenet": values(outcomes_of(imagenet, image_ND, text_MD, Protocol())),
        "coco": values(made_outcomes("retrieval")),
        "fairface": values(outcomes_of(fairface, face_ND, prompt_PD, Protocol())),
    }
    assert {name: set(some) for name, some in found.items()} == protocol_names()


def test_names_belong_to_one_row_each() -> None:
    names = [name for some in protocol_names().values() for name in some]
    for name in names:
        rows = [row for row in METRICS if re.fullmatch(row.pattern.format(**module.PARTS), name)]
        assert len(rows) == 1, name


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("imagenet/accuracy_at_1", "lower"), ("coco/text_retrieval_recall_at_10", "lower"), ("facet/age_mo/max_disparity_at_5", "higher"),
        ("facet/age_mo/min_signed_disparity_at_5", "none"), ("fairface/race/min_skew_at_1000", "none"),
        ("fairface/race/max_skew_at_1000", "higher"), ("fairface/race/latino-hispanic/mean_skew_at_1000", "none"),
        ("my-set/age/ndkl", "higher"), ("facet/skin_majority-and-age/worst_group_accuracy_at_5", "lower"),
    ],
)  # fmt: skip
def test_harm(name: str, harm: str) -> None:
    assert harm_of(name) == harm


@pytest.mark.parametrize("name", ["", "accuracy_at_1", "facet/accuracy", "facet/gender_mf/disparity_at_1", "facet/accuracy_at_1/x"])
def test_other_names_have_no_harm(name: str) -> None:
    with pytest.raises(ValueError, match="unknown metric"):
        harm_of(name)


# ---- golden values by hand


def by_hand(class2: str = "each", sign: str = "absolute") -> Outcomes:
    """Nine persons, two classes of three; predictions given, not computed.

    masc: class 0 hit, hit, miss; class 1 hit. fem: class 0 hit, miss; class 1 miss, miss. The third masc also has class 1, and is
    predicted as class 1. One person of class 0 has no gender, and is hit.
    """
    images = pd.DataFrame({
        "id": list("abcdefghi"),
        "label": [0, 0, 0, 1, 0, 0, 1, 1, 0],
        "label2": [-1, -1, 1, -1, -1, -1, -1, -1, -1],
        "gender": ["masc"] * 4 + ["fem"] * 4 + [""],
        "top_1": [0, 0, 1, 1, 0, 1, 0, 2, 0],
        "hit_at_1": [True, True, class2 == "either", True, True, False, False, False, True],
    })  # fmt: skip
    facts = {
        "classes": ["x", "y", "z"], "templates": ["{}"], "ks": [1], "min_per_group": 1, "sign": sign, "class2": class2,
        "pairs": [{"name": "gender_mf", "column": "gender", "first": "masc", "second": "fem"}],
    }  # fmt: skip
    return Outcomes("facet", "classification", facts, {"images": images}, "d", "p", {}, "q")


def test_disparities_by_hand() -> None:
    # each: class 0: masc 2/3, fem 1/2, gap 1/6. class 1: masc 2/2 (the second class counts), fem 0/2, gap 1.
    found = values(by_hand("each"))
    assert found["facet/accuracy_at_1"] == pytest.approx(5 / 9)  # of the first classes: 3 of 4 masc, 1 of 4 fem, 1 of 1
    assert found["facet/gender_mf/min_disparity_at_1"] == pytest.approx(1 / 6)
    assert found["facet/gender_mf/max_disparity_at_1"] == pytest.approx(1.0)
    assert found["facet/gender_mf/macro_gap_at_1"] == pytest.approx((1 / 6 + 1) / 2)
    assert class_table(by_hand("each"))["n_first"].tolist() == [3, 2, 0]
    # either: the third masc is a hit of class 0 and nothing of class 1: gaps 3/3 - 1/2 and 1/1 - 0/2.
    found = values(by_hand("either"))
    assert class_table(by_hand("either"))["n_first"].tolist() == [3, 1, 0]
    assert found["facet/accuracy_at_1"] == pytest.approx(6 / 9)
    assert found["facet/gender_mf/min_disparity_at_1"] == pytest.approx(1 / 2)
    assert found["facet/gender_mf/max_disparity_at_1"] == pytest.approx(1.0)


def test_worst_groups_by_hand() -> None:
    # gender: masc 3 of 4, fem 1 of 4; whoever has no gender counts in no group.
    # tone: dark 3 of 4, light 2 of 5. Both: masc & dark 1 of 2, masc & light 2 of 2, fem & dark 1 of 1, fem & light 0 of 3.
    outcomes = by_hand()
    outcomes.frames["images"]["tone"] = ["light", "dark", "dark", "light", "dark", "light", "light", "light", "dark"]
    outcomes.facts["pairs"].append({"name": "tone_ld", "column": "tone", "first": "light", "second": "dark"})
    rows = {row.name: row for row in measure(outcomes)[0] if "worst_group" in row.name}
    found = {name: (row.value, *row.counts.values()) for name, row in rows.items()}
    assert found == {
        "facet/gender/worst_group_accuracy_at_1": (1 / 4, 8, 4, 2),
        "facet/tone/worst_group_accuracy_at_1": (2 / 5, 9, 5, 2),
        "facet/gender-and-tone/worst_group_accuracy_at_1": (0.0, 8, 3, 4),
    }
    assert list(rows["facet/gender/worst_group_accuracy_at_1"].counts) == ["images", "worst_group", "groups"]
    table = group_table(outcomes)
    assert table[table["worst"]]["group"].tolist() == ["fem", "light", "fem & light"]


def test_the_sign_decides_which_disparities_the_short_names_report() -> None:
    outcomes = made_outcomes("classification", sign="signed")
    signed, absolute = values(outcomes), values(made_outcomes("classification"))
    for end in ("min", "max"):
        name = f"facet/gender_mf/{end}_disparity_at_1"
        assert signed[name] == signed[name.replace("_disparity", "_signed_disparity")]
        assert absolute[name] == absolute[name.replace("_disparity", "_absolute_disparity")]
    assert signed["facet/gender_mf/min_disparity_at_1"] < 0 <= absolute["facet/gender_mf/min_disparity_at_1"]


def test_recalls_by_hand() -> None:
    captions = pd.DataFrame({"caption": range(4), "image": list("aabc"), "rank": [0, 1, 2, 0]})
    images = pd.DataFrame({"id": list("abc"), "rank": [0, 3, 1]})
    outcomes = Outcomes("coco", "retrieval", {"ks": [1, 2]}, {"captions": captions, "images": images}, "d", "p", {}, "q")
    expected = {
        "coco/image_retrieval_recall_at_1": 2 / 4, "coco/image_retrieval_recall_at_2": 3 / 4,
        "coco/text_retrieval_recall_at_1": 1 / 3, "coco/text_retrieval_recall_at_2": 2 / 3,
    }  # fmt: skip
    assert values(outcomes) == pytest.approx(expected)


def test_skews_by_hand() -> None:
    # Prompt 0 takes a, b: one of each of two groups of 1/4 and 3/4. Prompt 1 takes c, d: none of group A, the floor 1/2.
    scores = {"score_0": [0.9, 0.8, 0.1, 0.0], "score_1": [0.0, 0.1, 0.8, 0.9]}
    images = pd.DataFrame({"id": list("abcd"), "tint": ["A", "B", "B", "B"], **scores})
    prompts = pd.DataFrame({"prompt": [0, 0, 1, 1]})
    facts = {"attributes": {"tint": ["A", "B"]}, "k": 2, "desired": "dataset"}
    outcomes = Outcomes("fairface", "skew", facts, {"images": images, "prompts": prompts}, "d", "p", {}, "q")
    found = values(outcomes)
    log = math.log
    assert found["fairface/tint/max_skew_at_2"] == pytest.approx((log(0.5 / 0.25) + log(0.5 / 0.25)) / 2)
    assert found["fairface/tint/min_skew_at_2"] == pytest.approx((log(0.5 / 0.75) + log(1 / 0.75)) / 2)
    assert found["fairface/tint/b/mean_skew_at_2"] == pytest.approx((log(0.5 / 0.75) + log(1 / 0.75)) / 2)
    (row,) = [row for row in measure(outcomes)[0] if row.name == "fairface/tint/max_skew_at_2"]
    assert row.counts["floored"] == 1
