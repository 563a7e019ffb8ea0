"""Every metric: its names, its golden values by hand, and properties that hold for all of them, each shown able to fail."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest

from qbias import measure as module
from qbias.measure import METRICS, Metric, class_table, group_table, harm_of, measure
from qbias.outcomes import outcomes_of
from qbias.prepared import Prepared
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind, Measured, Outcomes
from tests.made import KINDS, MAKERS, made_outcomes, shuffled

MLFLOW_NAME = re.compile(r"[\w\-.:/ ]{1,250}", re.ASCII)
FACET_PAIRS = ("gender_mf", "skin_ld", "age_my", "age_mo")


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
    """protocol.md 8, written out."""
    facet = {f"facet/accuracy_at_{k}" for k in (1, 5)}
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
    pairs = [{"name": name, "column": "gender", "first": "masc", "second": "fem"} for name in FACET_PAIRS]
    facet = replace(facet, facts={**facet.facts, "pairs": pairs})
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
        ("facet/age_mo/min_signed_disparity_at_5", "none"), ("fairface/race/min_skew_at_1000", "lower"),
        ("fairface/race/max_skew_at_1000", "higher"), ("fairface/race/latino-hispanic/mean_skew_at_1000", "none"),
        ("my-set/age/ndkl", "higher"),
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


# ---- properties of every metric

Check = Callable[[Kind], None]


def order_of_images_does_not_matter(kind: Kind) -> None:
    dataset, image_ND, text_MD = MAKERS[kind](1)
    other, other_ND = shuffled(dataset, image_ND)
    assert values(outcomes_of(other, other_ND, text_MD, Protocol())) == pytest.approx(
        values(outcomes_of(dataset, image_ND, text_MD, Protocol())), abs=1e-12
    )


def renamed(dataset: Dataset) -> Dataset:
    """Every group name reversed and doubled, so that length and alphabetical order change."""

    def new(cell: str) -> str:
        return "|".join(part[::-1] * 2 for part in cell.split("|"))

    facts, columns = dict(dataset.facts), {}
    for name in ("gender", "skin", "race", "mood"):
        if name in dataset.images:
            columns[name] = [new(cell) for cell in dataset.images[name]]
    if "pairs" in facts:
        facts["pairs"] = [{**pair, "first": new(pair["first"]), "second": new(pair["second"])} for pair in facts["pairs"]]
    if "attributes" in facts:
        facts["attributes"] = {name: [new(value) for value in listed] for name, listed in facts["attributes"].items()}
    return replace(dataset, images=dataset.images.assign(**columns), facts=facts)


def group_names_do_not_matter(kind: Kind) -> None:
    dataset, image_ND, text_MD = MAKERS[kind](1)
    before = measure(outcomes_of(dataset, image_ND, text_MD, Protocol()))[0]
    after = measure(outcomes_of(renamed(dataset), image_ND, text_MD, Protocol()))[0]
    assert [row.value for row in after] == pytest.approx([row.value for row in before], abs=1e-12)


def equal_sides_differ_by_exactly_nothing(kind: Kind) -> None:
    baseline, candidate = values(made_outcomes(kind, 1)), values(made_outcomes(kind, 1))
    assert {name: candidate[name] - baseline[name] for name in baseline} == dict.fromkeys(baseline, 0.0)


PROPERTIES: tuple[Check, ...] = (order_of_images_does_not_matter, group_names_do_not_matter, equal_sides_differ_by_exactly_nothing)
CALLS = count()


def first_image(prepared: Prepared, pattern: str) -> Iterator[Measured]:
    """Depends on the order of the images."""
    yield Measured(pattern, float(prepared.outcomes.frames["images"]["id"][0].removeprefix("image-")))


def name_length(prepared: Prepared, pattern: str) -> Iterator[Measured]:
    """Depends on how groups are called."""
    facts = prepared.facts
    names = [pair["first"] for pair in facts.get("pairs", ())] + [value for some in facts.get("attributes", {}).values() for value in some]
    yield Measured(pattern, float(sum(map(len, names))))


def another_each_time(prepared: Prepared, pattern: str) -> Iterator[Measured]:
    """Depends on nothing that it should."""
    yield Measured(pattern, 1.0 + 1e-15 * next(CALLS))


BROKEN = dict(zip(PROPERTIES, (first_image, name_length, another_each_time), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", PROPERTIES)
def test_properties_of_every_metric(check: Check, kind: Kind) -> None:
    check(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", PROPERTIES)
def test_each_property_can_fail(monkeypatch: pytest.MonkeyPatch, check: Check, kind: Kind) -> None:
    if kind == "retrieval" and check is group_names_do_not_matter:
        assert "pairs" not in MAKERS[kind](1)[0].facts, "retrieval has no groups, so their names cannot matter"
        return
    monkeypatch.setattr(module, "METRICS", (*METRICS, Metric("broken", kind, "none", BROKEN[check])))
    with pytest.raises(AssertionError):
        check(kind)


# ---- tables


def test_the_class_table_shows_what_the_metrics_were_made_of() -> None:
    table = class_table(by_hand())
    assert table.columns.tolist() == list(module.CLASS_COLUMNS)
    assert table[["class_name", "n_first", "n_second", "eligible"]].to_numpy().tolist() == [
        ["x", 3, 2, True], ["y", 2, 2, True], ["z", 0, 0, False]
    ]  # fmt: skip
    assert table["gap"][0] == pytest.approx(1 / 6)
    assert (table["first"][0], table["second"][0]) == ("masc", "fem")
    whole = class_table(made_outcomes("classification"))
    assert len(whole) == 8 * 2 * 2
    eligible = whole[(whole["pair"] == "skin_ld") & (whole["k"] == 5) & whole["eligible"]]
    assert eligible["gap"].abs().max() == values(made_outcomes("classification"))["facet/skin_ld/max_disparity_at_5"]


@pytest.mark.parametrize("kind", ["retrieval", "skew"])
def test_tables_of_other_kinds_are_empty(kind: str) -> None:
    assert class_table(made_outcomes(kind)).empty
    assert group_table(made_outcomes(kind)).empty


def test_a_benchmark_without_pairs_has_empty_tables() -> None:
    outcomes = made_outcomes("classification", pairs=[])
    assert class_table(outcomes).empty
    assert group_table(outcomes).empty


def test_the_group_table_has_groups_and_intersections() -> None:
    outcomes = made_outcomes("classification", min_per_group=100)
    table, images = group_table(outcomes), outcomes.frames["images"]
    assert set(table["attribute"]) == {"gender", "skin", "gender & skin"}
    chosen = table[(table["group"] == "fem & lighter") & (table["k"] == 1)].iloc[0]
    inside = (images["gender"] == "fem") & images["skin"].str.contains("lighter")
    assert chosen["images"] == inside.sum()
    assert chosen["accuracy"] == pytest.approx(images["hit_at_1"][inside].mean())
    assert not chosen["eligible"]
    assert (table["eligible"] == (table["images"] >= 100)).all()
    for _, rows in table[table["eligible"]].groupby(["attribute", "k"]):
        assert rows.loc[rows["worst"], "accuracy"].unique().tolist() == [rows["accuracy"].min()]
    assert not table[~table["eligible"]]["worst"].any()


def test_a_small_group_is_never_the_worst() -> None:
    outcomes = made_outcomes("classification", min_per_group=10)
    images = outcomes.frames["images"]
    missed = images.index[~images["hit_at_1"]][:3]
    images.loc[missed, "gender"] = "few"
    table = group_table(outcomes)
    rows = table[(table["attribute"] == "gender") & (table["k"] == 1)].set_index("group")
    assert rows.loc["few", ["images", "accuracy", "eligible", "worst"]].tolist() == [3, 0.0, False, False]
    assert rows["worst"].sum() == 1
