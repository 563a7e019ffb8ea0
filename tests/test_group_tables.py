"""The tables behind a classification benchmark's metrics: by hand, and equal to the metrics made of them."""

import pandas as pd
import pytest

from qbias.group_tables import CLASS_COLUMNS, GROUP_COLUMNS, RECALL_COLUMNS, class_table, group_table, recall_table
from qbias.measure import measure
from qbias.records import Outcomes
from tests.made import made_outcomes

TABLES = {class_table: CLASS_COLUMNS, group_table: GROUP_COLUMNS, recall_table: RECALL_COLUMNS}


def by_hand(class2: str = "each") -> Outcomes:
    """Six persons, three classes, a floor of two. The third has class y too, and is predicted as y; the fifth is in both tones.

    x: first masc light hit, second masc dark hit, third masc light miss, fourth fem dark hit, fifth fem (both tones) miss.
    y: sixth, of no gender, light, hit; by `each` also the third, hit.
    """
    images = pd.DataFrame({
        "id": list("abcdef"),
        "label": [0, 0, 0, 0, 0, 1],
        "label2": [-1, -1, 1, -1, -1, -1],
        "gender": ["masc", "masc", "masc", "fem", "fem", ""],
        "tone": ["light", "dark", "light", "dark", "light|dark", "light"],
        "top_1": [0, 0, 1, 0, 2, 1],
        "hit_at_1": [True, True, class2 == "either", True, False, True],
    })  # fmt: skip
    pairs = [
        {"name": "gender_mf", "column": "gender", "first": "masc", "second": "fem"},
        {"name": "tone_ld", "column": "tone", "first": "light", "second": "dark"},
    ]
    facts = {
        "classes": ["x", "y", "z"], "templates": ["{}"], "ks": [1], "min_per_group": 2, "sign": "absolute", "class2": class2, "pairs": pairs
    }  # fmt: skip
    return Outcomes("facet", "classification", facts, {"images": images}, "d", "p", {}, "q")


def test_the_class_table_by_hand() -> None:
    table = class_table(by_hand())
    shown = table[["class_name", "pair", "n_first", "n_second", "eligible"]].to_numpy().tolist()
    assert shown == [
        ["x", "gender_mf", 3, 2, True], ["y", "gender_mf", 1, 0, False], ["z", "gender_mf", 0, 0, False],
        ["x", "tone_ld", 3, 3, True], ["y", "tone_ld", 2, 0, False], ["z", "tone_ld", 0, 0, False],
    ]  # fmt: skip
    assert table["gap"][0] == pytest.approx(2 / 3 - 1 / 2)
    assert table["gap"][3] == pytest.approx(1 / 3 - 2 / 3)
    assert (table["first"][3], table["second"][3]) == ("light", "dark")


def test_the_largest_gap_of_the_class_table_is_the_metric() -> None:
    outcomes = made_outcomes("classification")
    whole = class_table(outcomes)
    assert len(whole) == 8 * 2 * 2
    eligible = whole[(whole["pair"] == "skin_ld") & (whole["k"] == 5) & whole["eligible"]]
    metrics = {row.name: row.value for row in measure(outcomes)[0]}
    assert eligible["gap"].abs().max() == metrics["facet/skin_ld/max_disparity_at_5"]


def test_the_recall_table_by_hand() -> None:
    shown = recall_table(by_hand())[["class_name", "attribute", "group", "positives", "hits", "eligible"]]
    assert [tuple(row) for row in shown.to_numpy().tolist()] == [
        ("x", "gender", "fem", 2, 1, True),
        ("x", "gender", "masc", 3, 2, True),
        ("y", "gender", "masc", 1, 1, False),  # the third person's second class
        ("x", "tone", "dark", 3, 2, True),
        ("x", "tone", "light", 3, 1, True),
        ("y", "tone", "light", 2, 2, True),
        ("x", "gender & tone", "fem & dark", 2, 1, True),
        ("x", "gender & tone", "fem & light", 1, 0, False),
        ("x", "gender & tone", "masc & dark", 1, 1, False),
        ("x", "gender & tone", "masc & light", 2, 1, True),
        ("y", "gender & tone", "masc & light", 1, 1, False),
    ]


def test_second_classes_count_by_the_protocols_rule() -> None:
    table = recall_table(by_hand("either")).set_index(["class_name", "attribute", "group"])
    assert ("y", "gender", "masc") not in table.index
    assert table.loc[("x", "gender", "masc"), ["positives", "hits", "recall"]].tolist() == [3, 3, 1.0]


def test_the_recall_table_agrees_with_the_class_table() -> None:
    outcomes = made_outcomes("classification")
    recalls = recall_table(outcomes).set_index(["class", "attribute", "group", "k"])
    for row in class_table(outcomes).set_index("class").itertuples():
        attribute = {"gender_mf": "gender", "skin_ld": "skin"}[row.pair]
        for group, positives, recall in ((row.first, row.n_first, row.recall_first), (row.second, row.n_second, row.recall_second)):
            found = recalls.loc[(row.Index, attribute, group, row.k)]
            assert (found["positives"], found["recall"]) == (positives, recall)
    assert (recalls["hits"] / recalls["positives"] == recalls["recall"]).all()
    assert (recalls["positives"] > 0).all()
    assert set(recalls.index.get_level_values("attribute")) == {"gender", "skin", "gender & skin"}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("kind", "facts"), [("retrieval", {}), ("skew", {}), ("classification", {"pairs": []})])
def test_without_classes_or_pairs_a_table_is_empty(table, kind, facts) -> None:
    found = table(made_outcomes(kind, **facts))
    assert found.empty
    assert tuple(found.columns) == TABLES[table]


def test_the_group_table_has_groups_and_intersections() -> None:
    outcomes = made_outcomes("classification", min_per_group=80)
    table, images = group_table(outcomes), outcomes.frames["images"]
    assert set(table["attribute"]) == {"gender", "skin", "gender & skin"}
    chosen = table[(table["group"] == "fem & darker") & (table["k"] == 1)].iloc[0]
    inside = (images["gender"] == "fem") & images["skin"].str.contains("darker")
    assert chosen["images"] == inside.sum()
    assert chosen["accuracy"] == pytest.approx(images["hit_at_1"][inside].mean())
    assert (table["eligible"] == (table["images"] >= 80)).all()
    assert not table["eligible"].all()
    for _, rows in table[table["eligible"]].groupby(["attribute", "k"]):
        assert rows.loc[rows["worst"], "accuracy"].unique().tolist() == [rows["accuracy"].min()]
    assert not table[~table["eligible"]]["worst"].any()


@pytest.mark.parametrize(("facts", "metrics"), [({}, 6), ({"min_per_group": 110}, 4), ({"classes": 5}, 3)])
def test_the_worst_group_is_the_metrics_and_none_where_there_is_no_metric(facts, metrics) -> None:
    outcomes = made_outcomes("classification", **facts)
    table = group_table(outcomes)
    worst = table[table["worst"]]
    name = "facet/" + worst["attribute"].str.replace(" & ", "-and-") + "/worst_group_accuracy_at_" + worst["k"].astype(str)
    found = {row.name: row.value for row in measure(outcomes)[0] if "worst_group" in row.name}
    assert dict(zip(name, worst["accuracy"], strict=True)) == found
    assert len(found) == metrics


def test_a_small_group_is_never_the_worst() -> None:
    outcomes = made_outcomes("classification", min_per_group=10)
    images = outcomes.frames["images"]
    missed = images.index[~images["hit_at_1"]][:3]
    images.loc[missed, "gender"] = "few"
    table = group_table(outcomes)
    rows = table[(table["attribute"] == "gender") & (table["k"] == 1)].set_index("group")
    assert rows.loc["few", ["images", "accuracy", "eligible", "worst"]].tolist() == [3, 0.0, False, False]
    (worst,) = rows.loc[rows["worst"], "accuracy"]
    assert {row.name: row.value for row in measure(outcomes)[0]}["facet/gender/worst_group_accuracy_at_1"] == worst > 0
