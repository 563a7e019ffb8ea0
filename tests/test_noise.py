"""Noise arms on a store: kept apart from evaluations, paired with exactly the evaluation that they repeat, read unaltered or not at all."""

from dataclasses import replace

import mlflow
import pytest
from mlflow import MlflowClient

from qbias.arms import ARMS, Arm, noise_arms
from qbias.records import Outcomes
from registry.cards import VersionCard
from registry.evidence import evaluations, evidence_of
from registry.noise import log_arm, noise_pairs
from registry.policy import load_policy
from registry.runs import finished_arm, finished_evaluation
from tests.conftest import Store, Toy
from tests.evidence_builder import all_outcomes, artifact_file, log_evaluation, register

BATCHES, ROUNDED, INT8 = ARMS.values()


def other_outcomes() -> dict[str, Outcomes]:
    """Outcomes in which FACET's first two of eight predictions are others."""
    found = all_outcomes()
    images = found["facet"].frames["images"].copy()
    images.loc[:1, "top_1"] = 1
    images.loc[:1, "hit_at_1"] = False
    return found | {"facet": replace(found["facet"], frames={"images": images})}


def arm_run(card: VersionCard, base: str, arm: Arm = BATCHES, status: str = "FINISHED") -> str:
    """A run of an arm that repeats the evaluation run `base`; its id."""
    tags = {name: value for name, value in MlflowClient().get_run(base).data.tags.items() if name.startswith("qbias.")}
    with mlflow.start_run() as run:
        log_arm(arm, other_outcomes(), tags)
    MlflowClient().set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


def test_an_arm_stands_beside_the_evaluation_it_repeats(toy: Toy) -> None:
    run = arm_run(toy.baseline, toy.runs["baseline"])
    cards = [toy.baseline, toy.candidate]
    found, _ = evaluations(cards)
    ((pair,), problems) = noise_pairs(cards, found)
    assert problems == []
    assert (pair.arm, pair.base, pair.again.run_id) == (BATCHES.name, found[0], run)
    assert pair.again.outcomes["facet"].frames["images"]["top_1"].tolist() == [1, 1, 0, 0, 1, 1, 1, 1]
    (noise,) = noise_arms([pair])
    assert noise.models == ("toy",)
    assert noise.churn == 0.25
    assert noise.change_by_metric["facet/accuracy_at_1"] == pytest.approx(0.25)


def test_an_arm_is_never_an_evaluation_nor_evidence(toy: Toy) -> None:
    policy = load_policy()
    before = evidence_of(toy.candidate, policy)
    own = MlflowClient().get_run(toy.runs["candidate"]).data.tags["qbias.evaluation_key"]
    run = arm_run(toy.candidate, toy.runs["candidate"], INT8)
    after = evidence_of(toy.candidate, policy)
    assert after.digest == before.digest
    assert after.candidate is not None
    assert after.candidate.run_id == toy.runs["candidate"]
    assert finished_evaluation(own) == toy.runs["candidate"]
    assert finished_evaluation(INT8.key(own)) is None
    assert finished_arm(INT8.key(own)) == run
    assert finished_arm(own) is None


def test_only_the_newest_finished_run_of_exactly_this_evaluation_counts(store: Store) -> None:
    baseline, _ = cards = register("toy")
    old = log_evaluation(baseline, tags={"qbias.evaluation_key": "an earlier protocol"})
    arm_run(baseline, old)
    new = log_evaluation(baseline)
    assert noise_pairs(cards, evaluations(cards)[0]) == ([], []), "the arm repeats another evaluation"
    arm_run(baseline, new)
    second = arm_run(baseline, new)
    arm_run(baseline, new, status="FAILED")
    other = arm_run(baseline, new, ROUNDED)
    pairs, _ = noise_pairs(cards, evaluations(cards)[0])
    assert {pair.arm: pair.again.run_id for pair in pairs} == {BATCHES.name: second, ROUNDED.name: other}


def test_an_arm_whose_files_were_altered_is_listed_and_the_others_go_on(toy: Toy) -> None:
    spoilt = arm_run(toy.baseline, toy.runs["baseline"], BATCHES)
    whole = arm_run(toy.baseline, toy.runs["baseline"], ROUNDED)
    artifact_file(spoilt, "outcomes/facet/images.parquet").write_bytes(b"")
    cards = [toy.baseline]
    pairs, (problem,) = noise_pairs(cards, evaluations(cards)[0])
    assert [pair.again.run_id for pair in pairs] == [whole]
    assert (problem.model, problem.version, problem.run_id) == ("toy", toy.baseline.version, spoilt)
    assert "noise arm (fp32, other batches) cannot be used" in problem.reason
    assert "images.parquet" in problem.reason
