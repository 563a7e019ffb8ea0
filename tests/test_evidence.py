"""Evidence is found wherever it lies, read unaltered or not at all, and its digest covers all of it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from qbias.protocol import Protocol
from registry import evaluations as evaluations_module
from registry import runs as runs_module
from registry.cards import VersionCard, version_card
from registry.evidence import Evidence, evaluations, evidence_of
from registry.gate import gate
from registry.policy import policy_from
from registry.weights import files_of, weights_of
from tests.conftest import Store, Toy
from tests.evidence_builder import (
    METRICS,
    all_outcomes,
    artifact_file,
    log_comparison,
    log_evaluation,
    plain_policy,
    register,
    version_file,
)

POLICY = plain_policy()


def test_complete_evidence(toy: Toy) -> None:
    candidate = toy.candidate
    baseline = toy.baseline
    runs = toy.runs
    found = evidence_of(candidate, POLICY)
    assert found.missing == ()
    assert found.candidate is not None
    assert found.baseline is not None
    assert (found.candidate.run_id, found.baseline.run_id) == (runs["candidate"], runs["baseline"])
    assert found.candidate.metrics == METRICS
    assert found.candidate.outcomes["facet"].frames["images"].equals(all_outcomes()["facet"].frames["images"])
    assert (found.comparison_run, found.baseline_card) == (runs["comparison"], baseline)
    assert set(found.outcomes_digests) == {runs["candidate"], runs["baseline"]}
    assert gate(found, POLICY).verdict == "review"
    assert evidence_of(candidate, POLICY).digest == found.digest


def test_the_latest_finished_run_counts(store: Store) -> None:
    _, candidate = register("toy")
    first = log_evaluation(candidate)
    second = log_evaluation(candidate)
    log_evaluation(candidate, status="FAILED")
    log_evaluation(candidate, status="RUNNING")
    assert [row.run_id for row in evaluations([candidate])[0]] == [second]
    MlflowClient().delete_run(second)
    assert [row.run_id for row in evaluations([candidate])[0]] == [first]


def test_forty_versions_take_one_search(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [card for model in range(2) for card in register(f"toy-{model}", quantizers=("fp32", "a", "b", "c"))]
    for card in cards[:2]:
        log_evaluation(card)
    searches: list[object] = []
    plain = MlflowClient.search_runs

    def counted(self: MlflowClient, *args: object, **kwargs: object) -> object:
        searches.append(args)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "search_runs", counted)
    found, problems = evaluations(cards)
    assert (len(found), len(problems), len(searches)) == (2, 6, 1)


def alter(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_an_altered_artifact_file_spoils_its_run_and_no_other(store: Store) -> None:
    baseline, candidate = register("toy")
    runs = [log_evaluation(baseline), log_evaluation(candidate)]
    alter(artifact_file(runs[1], "outcomes/facet/images.parquet"))
    found, problems = evaluations([baseline, candidate])
    assert [row.run_id for row in found] == runs[:1]
    assert [(row.run_id, row.version) for row in problems] == [(runs[1], candidate.version)]
    assert "images.parquet" in problems[0].reason


def rewrite_record(run: str) -> None:
    file = artifact_file(run, "outcomes/facet/outcomes.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(record | {"facts": record["facts"] | {"min_per_group": 9}}), encoding="utf-8")


def swap(run: str) -> None:
    for name in ("outcomes.json", "images.parquet"):
        artifact_file(run, f"outcomes/facet/{name}").write_bytes(artifact_file(run, f"outcomes/imagenet/{name}").read_bytes())


def set_tag(name: str, value: str) -> Callable[[str], None]:
    return lambda run: MlflowClient().set_tag(run, name, value)


SPOILERS: dict[str, tuple[Callable[[str], object], str]] = {
    "a table is gone": (lambda run: artifact_file(run, "outcomes/coco/captions.parquet").unlink(), "captions.parquet"),
    "a record is gone": (lambda run: artifact_file(run, "outcomes/coco/outcomes.json").unlink(), "outcomes of coco are missing"),
    "a record is rewritten": (rewrite_record, "were altered"),
    "one benchmark's files stand for another": (swap, "were altered"),
    "the digest tag is changed": (set_tag("qbias.outcomes_digest", "0" * 64), "were altered"),
    "the digest tag is gone": (lambda run: MlflowClient().delete_tag(run, "qbias.outcomes_digest"), "'qbias.outcomes_digest' is missing"),
    "the machine tag nests without end": (set_tag("qbias.machine", "[" * 5000), "is no mapping"),
    "the machine tag is a list": (set_tag("qbias.machine", "[1]"), "is no mapping"),
    "the machine tag is no JSON": (set_tag("qbias.machine", "{"), "Expecting property name"),
    "the weights are others": (set_tag("qbias.weights_sha256", "0" * 64), "other weights"),
    "a benchmark more is claimed": (set_tag("qbias.benchmarks", "imagenet,coco,facet,fairface,more"), "outcomes of more are missing"),
}


@pytest.mark.parametrize("case", SPOILERS)
def test_what_spoils_an_evaluation_is_named_and_blocks(toy: Toy, case: str) -> None:
    spoil, said = SPOILERS[case]
    candidate = toy.candidate
    runs = toy.runs
    before = evidence_of(candidate, POLICY)
    spoil(runs["candidate"])
    after = evidence_of(candidate, POLICY)
    assert after.candidate is None
    assert said in after.missing[0].reason
    assert after.missing[0].remedy == f"mlflow run . -e evaluate -P model=models:/toy/{candidate.version}"
    assert after.digest != before.digest
    assert gate(after, POLICY).verdict == "block"


def test_swapped_outcomes_with_a_matching_digest_are_noticed(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = toy.candidate
    runs = toy.runs
    swap(runs["candidate"])
    names = list(all_outcomes())
    digest = evaluations_module.outcomes_digest(artifact_file(runs["candidate"], "outcomes"), names)
    MlflowClient().set_tag(runs["candidate"], "qbias.outcomes_digest", digest)
    assert "stored as facet are of another benchmark" in evaluations([candidate])[1][0].reason


def new_metric(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().log_metric(runs["candidate"], "facet/accuracy_at_1", 0.75)


def new_evaluation(candidate: VersionCard, runs: dict[str, str]) -> None:
    log_evaluation(candidate)


def other_weights(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_model_version_tag("toy", candidate.version, "qbias.weights_sha256", "0" * 64)


def other_index(candidate: VersionCard, runs: dict[str, str]) -> None:
    file = artifact_file(runs["comparison"], "comparison_index.json")
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"note": "x"}), encoding="utf-8")


def other_outcomes_with_a_matching_tag(candidate: VersionCard, runs: dict[str, str]) -> None:
    rewrite_record(runs["candidate"])
    digest = evaluations_module.outcomes_digest(artifact_file(runs["candidate"], "outcomes"), list(all_outcomes()))
    MlflowClient().set_tag(runs["candidate"], "qbias.outcomes_digest", digest)


def no_comparison(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().delete_run(runs["comparison"])


def other_machine(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_tag(runs["baseline"], "qbias.machine", json.dumps({"cpu_capability": "DEFAULT"}))


def no_baseline(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().delete_model_version("toy", candidate.baseline_version)


def other_weight_bytes(candidate: VersionCard, runs: dict[str, str]) -> None:
    alter(version_file(candidate))


def other_code(candidate: VersionCard, runs: dict[str, str]) -> None:
    version_file(candidate, "MLmodel").write_text("flavors: {x: y}", encoding="utf-8")


def other_baseline_bytes(candidate: VersionCard, runs: dict[str, str]) -> None:
    alter(version_file(version_card("models:/toy/1")))


def other_report(candidate: VersionCard, runs: dict[str, str]) -> None:
    alter(artifact_file(runs["comparison"], "report/report.html"))


def more_files(candidate: VersionCard, runs: dict[str, str]) -> None:
    artifact_file(runs["candidate"], "note.txt").write_text("x", encoding="utf-8")


def other_tag(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_tag(runs["candidate"], "qbias.protocol_digest", "0" * 64)


def other_registrar(candidate: VersionCard, runs: dict[str, str]) -> None:
    MlflowClient().set_model_version_tag("toy", candidate.version, "qbias.registered_by", "someone else")


EDITS = [
    new_metric, new_evaluation, other_weights, other_index, other_outcomes_with_a_matching_tag, no_comparison, other_machine, no_baseline,
    other_weight_bytes, other_code, other_baseline_bytes, other_report, more_files, other_tag, other_registrar,
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_any_edit_changes_the_digest(toy: Toy, edit: Callable[[VersionCard, dict[str, str]], None]) -> None:
    candidate = toy.candidate
    runs = toy.runs
    before = evidence_of(candidate, POLICY).digest
    assert evidence_of(candidate, POLICY).digest == before
    edit(candidate, runs)
    assert evidence_of(version_card(f"models:/toy/{candidate.version}"), POLICY).digest != before


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit is not new_evaluation])
def test_named_runs_are_read_as_strictly(toy: Toy, edit: Callable[[VersionCard, dict[str, str]], None]) -> None:
    before = evidence_of(toy.candidate, POLICY)
    assert evidence_of(toy.candidate, POLICY, runs=before.runs).digest == before.digest
    edit(toy.candidate, toy.runs)
    assert evidence_of(version_card(toy.candidate.uri), POLICY, runs=before.runs).digest != before.digest


def test_named_runs_stay_what_was_approved_when_newer_ones_come(toy: Toy) -> None:
    before = evidence_of(toy.candidate, POLICY)
    log_comparison((toy.candidate, log_evaluation(toy.candidate)), (toy.baseline, log_evaluation(toy.baseline)))
    assert evidence_of(toy.candidate, POLICY).runs != before.runs
    again = evidence_of(toy.candidate, POLICY, runs=before.runs)
    assert (again.runs, again.digest, again.missing) == (before.runs, before.digest, ())


def test_a_named_run_of_another_version_or_kind_is_no_evidence(toy: Toy) -> None:
    runs = evidence_of(toy.candidate, POLICY).runs
    for odd, said in (
        (replace(runs, candidate=runs.baseline), "is the evaluation of another version"),
        (replace(runs, candidate=runs.comparison), "is not a finished evaluation"),
        (replace(runs, candidate="0" * 32), "there is no run"),
        (replace(runs, comparison=runs.candidate), "is not a finished comparison"),
    ):
        found = evidence_of(toy.candidate, POLICY, runs=odd)
        assert any(said in row.reason for row in found.missing), said
        assert gate(found, POLICY).verdict == "block"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (other_weight_bytes, "the candidate: the weights of toy version 2 are not those that were registered"),
        (other_baseline_bytes, "the baseline: the weights of toy version 1 are not those that were registered"),
        (other_report, "report/report.html altered, missing or added since: compare again"),
        (other_index, ""),
    ],
)
def test_altered_files_are_missing_evidence(toy: Toy, edit: Callable[[VersionCard, dict[str, str]], None], said: str) -> None:
    edit(toy.candidate, toy.runs)
    found = evidence_of(toy.candidate, POLICY)
    assert [said in row.reason for row in found.missing] == [True] * bool(said)


def test_the_weights_are_those_on_disk(toy: Toy) -> None:
    assert weights_of(toy.candidate) == toy.candidate.weights_sha256
    files = files_of("toy", "2")
    version_file(toy.candidate, "registered_model_meta").write_text("left by loading", encoding="utf-8")
    assert files_of("toy", "2") == files
    alter(version_file(toy.candidate))
    assert weights_of(toy.candidate) != toy.candidate.weights_sha256
    shutil.rmtree(version_file(toy.candidate, "artifacts"))
    with pytest.raises(ValueError, match="the files of toy version 2 cannot be read"):
        weights_of(toy.candidate)


def test_another_policy_changes_the_digest(toy: Toy) -> None:
    candidate = toy.candidate
    raw = POLICY.model_dump(mode="json")
    raw["sign_off"]["valid_days"] = 1
    assert evidence_of(candidate, policy_from(raw)).digest != evidence_of(candidate, POLICY).digest


def gaps(found: Evidence) -> list[str]:
    return [row.what for row in found.missing]


def test_what_is_missing_is_listed_with_the_command_that_supplies_it(store: Store) -> None:
    baseline, candidate = register("toy")
    assert gaps(evidence_of(candidate, POLICY)) == ["candidate evaluation", "baseline evaluation", "comparison"]
    own, base = log_evaluation(candidate), log_evaluation(baseline)
    (lacking,) = evidence_of(candidate, POLICY).missing
    assert (lacking.what, lacking.remedy) == ("comparison", "mlflow run . -e compare -P models=toy")
    log_comparison((candidate, own), (baseline, base), status="FAILED")
    assert gaps(evidence_of(candidate, POLICY)) == ["comparison"]
    log_comparison((candidate, own), (baseline, base))
    assert gaps(evidence_of(candidate, POLICY)) == []
    log_evaluation(baseline)
    assert gaps(evidence_of(candidate, POLICY)) == ["comparison"], "the comparison is of an older evaluation"


def test_evaluations_under_different_protocols_are_not_paired(store: Store) -> None:
    baseline, candidate = register("toy")
    own, base = log_evaluation(candidate, protocol=Protocol(batch_size=8)), log_evaluation(baseline)
    log_comparison((candidate, own), (baseline, base))
    result = gate(evidence_of(candidate, POLICY), POLICY)
    assert [row.rule for row in result.findings if row.verdict == "block"] == ["pairing"]


def test_a_version_with_twins_of_different_outcomes_is_refused_with_their_runs(store: Store) -> None:
    baseline, candidate = register("toy")
    own, first = log_evaluation(candidate), log_evaluation(baseline)
    second = log_evaluation(baseline, protocol=Protocol(skew_k=4), tags={"qbias.evaluation_key": "another protocol, so no twin"})
    assert [row.run_id for row in evaluations([baseline, candidate])[0]] == [second, own]
    third = log_evaluation(baseline, protocol=Protocol(skew_k=4))
    found, (problem,) = evaluations([baseline, candidate])
    assert [row.run_id for row in found] == [own]
    assert (problem.version, problem.run_id) == (baseline.version, third)
    assert first in problem.reason
    assert third in problem.reason
    assert second not in problem.reason
    assert gate(evidence_of(candidate, POLICY), POLICY).verdict == "block"
    MlflowClient().delete_run(third)
    assert [row.run_id for row in evaluations([baseline])[0]] == [second]
    MlflowClient().delete_run(second)
    assert [row.run_id for row in evaluations([baseline])[0]] == [first]


class RemoteStore:
    """Plays a store whose artifacts are not on this machine, and counts downloads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count from zero."""
        self.downloads = 0
        plain = runs_module.download

        def counted(run: Run, path: str, folder: Path) -> Path:
            self.downloads += 1
            return plain(run, path, folder)

        for module in (evaluations_module, runs_module):
            monkeypatch.setattr(module, "download", counted)
            monkeypatch.setattr(module, "local_artifact", lambda run, path: None)


def test_remote_outcomes_are_kept_and_checked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = RemoteStore(monkeypatch)
    _, candidate = register("toy")
    log_evaluation(candidate)
    for _ in range(2):
        assert len(evaluations([candidate])[0]) == 1
    assert remote.downloads == 1
    (kept,) = (tmp_path / "store" / "cache" / "outcomes").glob("*/outcomes/facet/images.parquet")
    alter(kept)
    assert len(evaluations([candidate])[0]) == 1
    assert remote.downloads == 2, "a spoilt copy is fetched again"


def test_a_kept_copy_does_not_hide_an_alteration_from_the_evidence(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    RemoteStore(monkeypatch)
    candidate = toy.candidate
    runs = toy.runs
    evaluations([candidate])
    alter(artifact_file(runs["candidate"], "outcomes/facet/images.parquet"))
    assert gaps(evidence_of(candidate, POLICY)) == ["candidate evaluation", "comparison"]
