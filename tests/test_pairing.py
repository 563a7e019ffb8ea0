"""Pairing by content: what is paired, and every fact that refuses a pair."""

from dataclasses import replace
from typing import Any

import pytest

from qbias.environment import machine_facts
from qbias.pairing import MACHINE_FACTS, differences, is_baseline, pair
from qbias.records import Evaluation
from tests.synthetic import MACHINE, changed, synthetic_evaluations, with_outcomes


@pytest.fixture
def study() -> list[Evaluation]:
    """One model: fp32 as version 1, bnb-int8 as 2, bnb-nf4 as 3."""
    return synthetic_evaluations(1, 3)


def refused_facts(evaluations: list[Evaluation]) -> tuple[tuple[str, str, str], ...]:
    pairings, refusals = pair(evaluations)
    assert len(refusals) == 1
    assert refusals[0].version not in {row.candidate.version for row in pairings}
    return refusals[0].differences


def test_every_quantized_version_stands_beside_its_own_baseline() -> None:
    evaluations = synthetic_evaluations(3, 5)
    pairings, refusals = pair(evaluations)
    assert refusals == []
    assert [row.candidate for row in pairings] == [row for row in evaluations if not is_baseline(row)]
    assert all(row.baseline.model == row.candidate.model and row.baseline.quantizer == "fp32" for row in pairings)


def test_the_order_of_runs_does_not_matter(study: list[Evaluation]) -> None:
    pairings, _ = pair(study[::-1])
    assert {(row.baseline.version, row.candidate.version) for row in pairings} == {("1", "2"), ("1", "3")}


def test_nothing_gives_nothing() -> None:
    assert pair([]) == ([], [])


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({"dataset_digest": "other"}, "facet: dataset digest"),
        ({"prompts_sha256": "other"}, "facet: prompts sha256"),
        ({"protocol_digest": "other"}, "facet: protocol digest"),
    ],
)
def test_another_digest_refuses(study: list[Evaluation], fields: dict[str, Any], fact: str) -> None:
    found = refused_facts([study[0], with_outcomes(study[1], "facet", **fields)])
    assert [entry[0] for entry in found] == [fact]
    assert found[0][2] == "other"


@pytest.mark.parametrize("rows", [slice(None, None, -1), slice(1, None)], ids=["order", "content"])
def test_image_ids_must_agree_in_content_and_order(study: list[Evaluation], rows: slice) -> None:
    frame = study[1].outcomes["coco"].frames["images"].iloc[rows].reset_index(drop=True)
    other = with_outcomes(study[1], "coco", frames={**study[1].outcomes["coco"].frames, "images": frame})
    ((fact, before, after),) = refused_facts([study[0], other])
    assert fact == "coco: image ids"
    assert before != after


@pytest.mark.parametrize("missing_on", [0, 1])
def test_both_sides_need_the_same_benchmarks(study: list[Evaluation], missing_on: int) -> None:
    outcomes = {name: value for name, value in study[missing_on].outcomes.items() if name != "coco"}
    found = refused_facts(changed(study[:2], missing_on, outcomes=outcomes))
    assert found[0][0] == "benchmarks"
    assert "coco" in found[0][2 - missing_on]
    assert "coco" not in found[0][1 + missing_on]


@pytest.mark.parametrize("fact", MACHINE_FACTS)
def test_each_machine_fact_that_can_change_a_number_refuses(study: list[Evaluation], fact: str) -> None:
    found = refused_facts(changed(study[:2], 1, machine={**MACHINE, fact: "another"}))
    assert found == ((f"machine: {fact}", MACHINE.get(fact, "not recorded"), "another"),)


def test_every_fact_that_a_run_records_is_compared() -> None:
    # Those of a GPU are there only where one is used.
    assert set(MACHINE_FACTS) - {"device", "device_name", "cuda"} == set(machine_facts())


def test_other_machine_facts_do_not_hinder(study: list[Evaluation]) -> None:
    assert pair(changed(study[:2], 1, machine={**MACHINE, "host": "elsewhere"}))[1] == []


def test_every_difference_is_listed_at_once(study: list[Evaluation]) -> None:
    protocol = {**study[1].outcomes["facet"].protocol, "min_per_group": 50}
    other = with_outcomes(study[1], "facet", protocol=protocol, protocol_digest="p", dataset_digest="d")
    other = with_outcomes(replace(other, machine={**MACHINE, "threads": "1"}), "imagenet", prompts_sha256="q")
    found = refused_facts([study[0], other])
    assert {entry[0] for entry in found} == {
        "facet: dataset digest",
        "facet: protocol digest",
        "facet: protocol: min_per_group",
        "imagenet: prompts sha256",
        "machine: threads",
    }
    assert ("facet: protocol: min_per_group", "25", "50") in found


def test_a_missing_baseline_refuses_and_names_the_run(study: list[Evaluation]) -> None:
    ((fact, before, after),) = refused_facts([study[1]])
    assert (fact, before, after) == ("baseline evaluation", "no evaluation of version 1", f"run {study[1].run_id}")


def test_another_models_baseline_does_not_serve(study: list[Evaluation]) -> None:
    assert refused_facts([replace(study[0], model="other"), study[1]])[0][0] == "baseline evaluation"


def test_a_quantized_version_is_nobodys_baseline(study: list[Evaluation]) -> None:
    pairings, refusals = pair(changed(study, 2, baseline_version="2"))
    assert [row.candidate.version for row in pairings] == ["2"]
    assert refusals[0].differences[0][0] == "baseline version"


@pytest.mark.parametrize("row", [0, 1], ids=["baseline", "candidate"])
def test_of_equal_evaluations_the_later_counts(study: list[Evaluation], row: int) -> None:
    again = replace(study[row], run_id="again")
    pairings, refusals = pair([*study[:2], again])
    assert refusals == []
    assert len(pairings) == 1
    assert (pairings[0].baseline if row == 0 else pairings[0].candidate).run_id == "again"


@pytest.mark.parametrize("row", [0, 1], ids=["baseline", "candidate"])
def test_unequal_evaluations_of_one_version_refuse_with_both_runs(study: list[Evaluation], row: int) -> None:
    frame = study[row].outcomes["imagenet"].frames["images"].assign(top_1=3)
    again = replace(with_outcomes(study[row], "imagenet", frames={"images": frame}), run_id="again")
    ((fact, *sides),) = refused_facts([*study[:2], again])
    assert "different outcomes" in fact
    assert "imagenet" in fact
    assert sides[row] == f"run {study[row].run_id}, run again"


def test_an_evaluation_of_fewer_benchmarks_is_not_an_equal_one(study: list[Evaluation]) -> None:
    outcomes = {name: value for name, value in study[0].outcomes.items() if name != "coco"}
    ((fact, before, _),) = refused_facts([*study[:2], replace(study[0], run_id="again", outcomes=outcomes)])
    assert "coco" in fact
    assert "run again" in before


def test_an_unclear_baseline_refuses_all_its_versions(study: list[Evaluation]) -> None:
    again = replace(with_outcomes(study[0], "facet", dataset_digest="other"), run_id="again")
    pairings, refusals = pair([*study, again])
    assert pairings == []
    assert [row.version for row in refusals] == ["2", "3"]


def test_equal_evaluations_have_no_differences(study: list[Evaluation]) -> None:
    assert differences(study[0], study[0]) == []
