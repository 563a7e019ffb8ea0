"""No single edit of what is stored, after the fact, leaves the audit at exit code 0 where an anchor file is given; and what still could."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from registry import anchor as anchors
from registry.audit import UNHELD, audit
from registry.chain import records_of
from registry.promote import promote
from tests.promoted import POLICY, Edit, Promoted, approved, audited, build, flip, promoted_copy

OTHER = "0" * 64
DAY_MS = 24 * 60 * 60 * 1000


@pytest.fixture(scope="module")
def source(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promoted")
    build(folder, empty_store)
    return folder


@pytest.fixture
def promoted(source: Path, tmp_path: Path) -> Iterator[Promoted]:
    with promoted_copy(source, tmp_path) as promoted:
        yield promoted


def tag(run: str, name: str, value: str) -> Edit:
    return lambda store, client: client.set_tag(store.runs[run], name, value)


def untag(run: str, name: str) -> Edit:
    return lambda store, client: client.delete_tag(store.runs[run], name)


def version_tag(name: str, version: str, tag: str, value: str) -> Edit:
    return lambda store, client: client.set_model_version_tag(name, version, tag, value)


def model_tag(tag: str, value: str) -> Edit:
    return lambda store, client: client.set_registered_model_tag("toy-prod", tag, value)


def gone(run: str) -> Edit:
    return lambda store, client: client.delete_run(store.runs[run])


def status(run: str, value: str) -> Edit:
    return lambda store, client: client.set_terminated(store.runs[run], value)


def flipped(run: str, path: str) -> Edit:
    return lambda store, client: flip(store.file(run, path))


def unlinked(run: str, path: str) -> Edit:
    return lambda store, client: store.file(run, path).unlink()


def written(run: str, path: str) -> Edit:
    return lambda store, client: store.file(run, path).write_text("x", encoding="utf-8")


def version_flipped(path: str, version: str = "3") -> Edit:
    return lambda store, client: flip(store.version_file(path, version))


def param(run: str, name: str, value: str) -> Edit:
    return lambda store, client: store.sql("UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?", value, store.runs[run], name)


def run_field(run: str, field: str, value: object) -> Edit:
    return lambda store, client: store.sql(f"UPDATE runs SET {field} = ? WHERE run_uuid = ?", value, store.runs[run])  # noqa: S608


def production_field(field: str, value: str) -> Edit:
    change = f"UPDATE model_versions SET {field} = ? WHERE name = 'toy-prod' AND version = 2"  # noqa: S608
    return lambda store, client: store.sql(change, value)


def other_weights_are_served(store: Promoted, client: MlflowClient) -> None:
    store.sql(
        "UPDATE model_versions SET storage_location = (SELECT storage_location FROM model_versions WHERE name = 'toy' AND version = 2) "
        "WHERE name = 'toy-prod' AND version = 2"
    )


def a_younger_approval(store: Promoted, client: MlflowClient) -> None:
    store.sql("UPDATE runs SET start_time = start_time + ? WHERE run_uuid = ?", DAY_MS, store.record(3))


def renamed_reviewer(store: Promoted, client: MlflowClient) -> None:
    """The newest record says another name, in all places but record.json."""
    store.sql("UPDATE params SET value = 'R. Three' WHERE run_uuid = ? AND key = 'review.reviewer'", store.record(5))


def another_policy_in_the_record(store: Promoted, client: MlflowClient) -> None:
    file = store.file("record 4", "policy.json")
    held = json.loads(file.read_bytes())
    held["sign_off"]["valid_days"] = 36500
    file.write_text(json.dumps(held), encoding="utf-8")


EDITS: dict[str, tuple[Edit, str]] = {
    # Aliases.
    "champion moved to the version before": (
        lambda s, c: c.set_registered_model_alias("toy-prod", "champion", "1"), "other hands moved it"),
    "champion moved to a copy of the baseline": (
        lambda s, c: c.set_registered_model_alias("toy-prod", "champion", c.copy_model_version("models:/toy/1", "toy-prod").version),
        "other hands moved it"),
    "champion moved in the database": (
        lambda s, c: s.sql("UPDATE registered_model_aliases SET version = 1 WHERE name = 'toy-prod'"), "other hands moved it"),
    "champion deleted": (lambda s, c: c.delete_registered_model_alias("toy-prod", "champion"), "other hands moved it"),
    "another alias in production": (lambda s, c: c.set_registered_model_alias("toy-prod", "shadow", "2"), "other hands set it"),
    "an alias on the candidate": (lambda s, c: c.set_registered_model_alias("toy", "champion", "2"), "other hands set it"),
    # Records.
    "newest record deleted": (gone("record 5"), "the anchor file (length 5) knows a record 5 that is gone"),
    "promotion deleted": (gone("record 4"), "record 4 gone"),
    "approval deleted": (gone("record 3"), "record 3 gone"),
    "first record deleted": (gone("record 1"), "record 1 gone"),
    "every record deleted with the experiment": (
        lambda s, c: c.delete_experiment(s.store.experiment), "knows a record 5 that is gone"),
    "record moved to another experiment": (
        lambda s, c: s.sql("UPDATE runs SET experiment_id = ? WHERE run_uuid = ?", int(c.create_experiment("other")), s.record(3)),
        "experiment_id is"),
    "newest record says another reviewer": (renamed_reviewer, "parameter review.reviewer is 'R. Three'"),
    "an old reason is changed": (param("record 1", "review.reason", "under protest"), "parameter review.reason"),
    "a rejection becomes an approval": (param("record 3", "review.decision", "reject"), "parameter review.decision"),
    "promoter changed": (param("record 4", "promotion.promoter", "P. Two"), "parameter promotion.promoter"),
    "approvals of a promotion changed": (param("record 4", "promotion.review_runs", "0" * 32), "parameter promotion.review_runs"),
    "a parameter taken away": (
        lambda s, c: s.sql("DELETE FROM params WHERE run_uuid = ? AND key = 'review.identity'", s.record(5)), "parameter review.identity"),
    "a parameter added": (lambda s, c: c.log_param(s.record(5), "review.note", "x"), "parameter review.note"),
    "a place in the chain changed": (param("record 5", "chain.sequence", "6"), "record 5 gone"),
    "decision tag of a record": (tag("record 3", "qbias.decision", "reject"), "tag qbias.decision"),
    "gate tag of a record": (tag("record 3", "qbias.gate", "pass"), "tag qbias.gate"),
    "digest tag of a record": (tag("record 5", "qbias.record_sha256", OTHER), "tag qbias.record_sha256"),
    "kind tag of a record": (tag("record 4", "qbias.kind", "inspection"), "tag qbias.kind"),
    "kind tag of a record deleted": (untag("record 4", "qbias.kind"), "tag qbias.kind"),
    "record.json flipped": (flipped("record 3", "record.json"), "record 3 is another than the anchor file"),
    "record.json of the newest flipped": (flipped("record 5", "record.json"), "record 5 is another than the anchor file"),
    "record.json deleted": (unlinked("record 4", "record.json"), "record.json"),
    "findings of a record": (flipped("record 3", "findings.json"), "findings.json is not as it was written"),
    "evidence of a record": (flipped("record 4", "evidence.json"), "evidence.json is not as it was written"),
    "policy of a record": (another_policy_in_the_record, "policy.json is not as it was written"),
    "policy of a record deleted": (unlinked("record 3", "policy.json"), "policy.json"),
    "approval's run failed": (status("record 3", "FAILED"), "record 3 .* was complete when record 4 was written"),
    "promotion's run failed": (status("record 4", "FAILED"), "record 4 .* was complete when record 5 was written"),
    "newest record's run failed": (status("record 5", "FAILED"), "broke off"),
    "first record's run failed": (status("record 1", "KILLED"), "record 1 .* was complete when record 2 was written"),
    "an approval made younger": (a_younger_approval, "started_ms is"),
    "artifacts of a record elsewhere": (run_field("record 3", "artifact_uri", "file:///nowhere"), "cannot be read"),
    # Evidence.
    "outcomes of the candidate": (flipped("candidate", "outcomes/facet/images.parquet"), "images.parquet"),
    "outcomes of the baseline": (flipped("baseline", "outcomes/fairface/prompts.parquet"), "prompts.parquet"),
    "outcomes.json": (flipped("candidate", "outcomes/coco/outcomes.json"), "were altered"),
    "a table of outcomes deleted": (unlinked("baseline", "outcomes/coco/captions.parquet"), "captions.parquet"),
    "what was insufficient": (written("candidate", "insufficient.json"), "what differs: candidate run"),
    "a file added to an evaluation": (written("baseline", "note.txt"), "what differs: baseline run"),
    "a metric of the candidate": (
        lambda s, c: c.log_metric(s.runs["candidate"], "facet/accuracy_at_1", 0.99), "what differs: candidate run"),
    "a metric of the baseline": (
        lambda s, c: s.sql("UPDATE latest_metrics SET value = 0.1 WHERE run_uuid = ? AND key = 'facet/accuracy_at_1'", s.runs["baseline"]),
        "what differs: baseline run"),
    "a metric deleted": (
        lambda s, c: s.sql("DELETE FROM latest_metrics WHERE run_uuid = ? AND key LIKE 'coco/%'", s.runs["candidate"]),
        "what differs: candidate run|the candidate's run has no metric"),
    "a parameter of an evaluation added": (
        lambda s, c: c.log_param(s.runs["candidate"], "protocol.limit", "5"), "what differs: candidate run"),
    "outcomes digest tag": (tag("candidate", "qbias.outcomes_digest", OTHER), "were altered"),
    "machine tag": (tag("baseline", "qbias.machine", "{}"), "what differs: baseline run"),
    "benchmarks tag deleted": (untag("candidate", "qbias.benchmarks"), "'qbias.benchmarks' is missing"),
    "weights tag of an evaluation": (tag("candidate", "qbias.weights_sha256", OTHER), "evaluated other weights"),
    "evaluation of the candidate deleted": (gone("candidate"), "was deleted"),
    "evaluation of the baseline deleted": (gone("baseline"), "was deleted"),
    "comparison deleted": (gone("comparison"), "was deleted"),
    "evaluation's run failed": (status("candidate", "FAILED"), "is not a finished evaluation"),
    "report flipped": (flipped("comparison", "report/report.html"), "report/report.html altered"),
    "a table of the report deleted": (unlinked("comparison", "report/table1.csv"), "report/table1.csv altered"),
    "a file added to the report": (written("comparison", "report/more.csv"), "report/more.csv altered"),
    "index of the comparison": (flipped("comparison", "comparison_index.json"), "comparison"),
    "key tag of the comparison": (tag("comparison", "qbias.comparison_key", OTHER), "what differs: comparison run"),
    # Versions.
    "weights flipped": (version_flipped("artifacts/model/model.safetensors"), "the weights of version 2 are not those that were approved"),
    "code of the version flipped": (version_flipped("MLmodel"), "the files of version 2 are not those that were approved"),
    "weights deleted": (lambda s, c: s.version_file("artifacts/model/model.safetensors").unlink(), "the weights of version 2 are not"),
    "a file added to the version": (
        lambda s, c: s.version_file("adapter_config.json").write_text("{}", encoding="utf-8"), "the files of version 2 are not"),
    "weights of the baseline flipped": (
        version_flipped("artifacts/model/model.safetensors", "1"), "the baseline: the weights of toy version 1"),
    "weights tag of the candidate": (version_tag("toy", "3", "qbias.weights_sha256", OTHER), "other weights"),
    "weights tag in production": (version_tag("toy-prod", "2", "qbias.weights_sha256", OTHER), "tag qbias.weights_sha256 of version 2"),
    "who registered it": (version_tag("toy", "3", "qbias.registered_by", "someone"), "what differs: candidate version"),
    "baseline of the candidate": (version_tag("toy", "3", "qbias.baseline_version", "2"), "evidence is not what was approved"),
    "verdict shown in production": (version_tag("toy-prod", "2", "qbias.gate", "pass"), "tag qbias.gate of version 2"),
    "decision shown in production deleted": (
        lambda s, c: c.delete_model_version_tag("toy-prod", "2", "qbias.review"), "tag qbias.review of version 2"),
    "decision shown on the candidate": (version_tag("toy", "3", "qbias.review", "reject"), "tag qbias.review of version 3"),
    "decision shown on a version nobody reviewed": (version_tag("toy", "1", "qbias.review", "approve"), "tag qbias.review of version 1"),
    "report shown in production": (version_tag("toy-prod", "2", "qbias.report_run", "0" * 32), "tag qbias.report_run of version 2"),
    "source of the copy": (production_field("source", "models:/toy/2"), "is a copy of models:/toy/2"),
    "storage of the copy": (other_weights_are_served, "the weights of version 2 are not those that were approved"),
    "state of the copy": (production_field("status", "FAILED_REGISTRATION"), "is FAILED_REGISTRATION"),
    "version in production deleted": (lambda s, c: c.delete_model_version("toy-prod", "2"), "other hands moved it"),
    "production model deleted": (lambda s, c: c.delete_registered_model("toy-prod"), "no longer says which policy rules"),
    "candidate deleted": (lambda s, c: c.delete_model_version("toy", "3"), "could not be checked"),
    "baseline deleted": (lambda s, c: c.delete_model_version("toy", "1"), "cannot be read"),
    "candidates' model deleted": (lambda s, c: c.delete_registered_model("toy"), "could not be checked"),
    # What stands on the production model.
    "digest of the policy": (model_tag("qbias.policy_digest", OTHER), "names policy"),
    "name of the policy": (model_tag("qbias.policy", "strict"), "calls its policy 'strict'"),
    "digest of the policy deleted": (
        lambda s, c: c.delete_registered_model_tag("toy-prod", "qbias.policy_digest"), "names policy"),
    "head of the chain": (model_tag("qbias.chain", f"4 {OTHER}"), "record 4 is another than the production model"),
    "an older head of the chain": (
        lambda s, c: c.set_registered_model_tag("toy-prod", "qbias.chain", f"2 {s.records[1].digest}"), "is older than record 4"),
    "head of the chain deleted": (lambda s, c: c.delete_registered_model_tag("toy-prod", "qbias.chain"), "is older than record 4"),
    "candidates of the production model": (model_tag("qbias.candidate", "other"), "no longer says which policy rules"),
    "experiments that count": (model_tag("qbias.experiments", "99"), "experiments from before its policy in which no record is: 99"),
}  # fmt: skip


def test_an_undisturbed_store_is_consistent(promoted: Promoted, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited("--anchor", str(promoted.anchor)) == 0
    assert "the anchor file holds the head of every chain" in capsys.readouterr().out
    assert audited() == 0
    assert UNHELD in capsys.readouterr().out


def test_there_are_many_kinds_of_edit() -> None:
    assert len(EDITS) >= 40


@pytest.mark.parametrize("case", EDITS)
def test_no_edit_goes_unnoticed(promoted: Promoted, capsys: pytest.CaptureFixture[str], case: str) -> None:
    edit, said = EDITS[case]
    edit(promoted, MlflowClient())
    code = audited("--anchor", str(promoted.anchor))
    shown = capsys.readouterr()
    assert code == 1, shown.out
    assert re.search(said if ".*" in said or "|" in said else re.escape(said), shown.out), shown.out
    assert "NOT CONSISTENT" in shown.out
    assert "Traceback" not in shown.err


def test_without_an_anchor_the_newest_record_can_vanish(promoted: Promoted) -> None:
    MlflowClient().delete_run(promoted.record(5))
    found = audit()
    assert (found.off, found.statement) == (0, UNHELD)
    assert audit(anchor=promoted.anchor).off == 1


def test_a_rewritten_newest_record_shows_by_the_anchor_alone(promoted: Promoted) -> None:
    """Whoever can write everything rewrites the newest record in all its places: it then agrees with itself."""
    run = promoted.record(5)
    file = promoted.file("record 5", "record.json")
    content = file.read_bytes().replace(b"R. Two", b"R. Six")
    file.write_bytes(content)
    MlflowClient().set_tag(run, "qbias.record_sha256", hashlib.sha256(content).hexdigest())
    promoted.sql("UPDATE params SET value = 'R. Six' WHERE run_uuid = ? AND key = 'review.reviewer'", run)
    assert audit().off == 0
    assert any("record 5 is another than the anchor file" in fault for row in audit(anchor=promoted.anchor).rows for fault in row.faults)


def test_what_an_administrator_can_still_do(promoted: Promoted, tmp_path: Path) -> None:
    """Rebuild everything: only an anchor file that they cannot write tells. Who holds both holds the whole truth."""
    client = MlflowClient()
    for record in promoted.records:
        client.delete_run(record.run_id)
    client.delete_registered_model("toy-prod")
    for name in ("qbias.gate", "qbias.review", "qbias.report_run"):
        client.delete_model_version_tag("toy", "2", name)
    forged = tmp_path / "forged.jsonl"
    approved(promoted.card, "Nobody", forged)
    with mlflow.start_run():
        promote(promoted.card, policy=POLICY, promoter="Nobody", anchor=forged)
    assert [record.facts.get("reviewer", "Nobody") for record in records_of("toy")] == ["Nobody", "Nobody"]
    assert (audit().off, audit().statement) == (0, UNHELD)
    assert audit(anchor=promoted.anchor).off == 1
    assert len(anchors.read(forged)) == 2
    shutil.copyfile(forged, promoted.anchor)
    assert audit(anchor=promoted.anchor).off == 0
