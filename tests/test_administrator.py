"""What docs/review.md says of administrators: how they pin a policy, and what of their doings an audit shows, by what it is given."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow import MlflowClient

from registry.audit import audit
from registry.cards import VersionCard, version_card
from registry.chain import records_of
from registry.policy import Policy
from registry.production import ruling_policy
from registry.promote import promote
from registry.review import review
from tests.conftest import Toy, copied_store, current_store
from tests.evidence_builder import log_comparison, log_evaluation, plain_policy, register
from tests.records_builder import new_key

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed, which signs records")


@dataclass(frozen=True)
class Signed:
    """A store whose records R. One and P. Two signed with keys of their own, each in an experiment of their own."""

    policy: Policy
    anchor: Path
    keys: Path


def signed_policy(name: str, keys: Path, people: dict[str, str]) -> Policy:
    """A policy whose reviewer and promoter sign in these experiments with the keys of this folder."""
    entries = {
        who: {"name": who, "experiment_id": number, "key": (keys / f"{who}.pub").read_text().strip()} for who, number in people.items()
    }
    reviewer, promoter = people
    return plain_policy(name=name, reviewers=[entries[reviewer]], promoters=[entries[promoter]])


def promoted(card: VersionCard, policy: Policy, keys: Path, anchor: Path | None) -> None:
    """Approve and promote, each in the experiment and with the key that the policy asks for."""
    reviewer, promoter = policy.sign_off.reviewers[0], policy.sign_off.promoters[0]
    with mlflow.start_run(experiment_id=reviewer.experiment_id):
        key = keys / reviewer.name
        review(card, decision="approve", reviewer=reviewer.name, reason="as agreed", policy=policy, signing_key=key, anchor=anchor)
    with mlflow.start_run(experiment_id=promoter.experiment_id):
        promote(card, policy=policy, signing_key=keys / promoter.name, anchor=anchor)


@pytest.fixture(scope="module")
def source(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Signed]:
    """Candidates 2 and 3 were promoted one after the other."""
    folder = tmp_path_factory.mktemp("signed")
    with current_store(copied_store(empty_store, folder / "store")):
        baseline, *candidates = register("toy", quantizers=("fp32", "bnb-nf4", "bnb-int8"))
        base = log_evaluation(baseline)
        people = {who: MlflowClient().create_experiment(f"work of {who}") for who in ("one", "two")}
        for who in people:
            new_key(folder, who)
        held = Signed(signed_policy("signed", folder, people), folder / "anchor.jsonl", folder)
        for card in candidates:
            log_comparison((card, log_evaluation(card)), (baseline, base))
            promoted(card, held.policy, folder, held.anchor)
    return folder, held


@pytest.fixture
def store(source: tuple[Path, Signed], tmp_path: Path) -> Iterator[Signed]:
    with current_store(copied_store(source[0] / "store", tmp_path / "store")):
        yield source[1]


def test_an_undisturbed_store_of_signed_records(store: Signed) -> None:
    found = audit(anchor=store.anchor, policy=store.policy)
    assert found.off == 0
    assert "every record is signed" in found.statement
    assert "the anchor file holds every head" in found.statement


def test_newest_records_that_are_removed_show_only_beside_an_anchor(store: Signed) -> None:
    """Review and promotion of 3 never were: every tag that tells of them goes as well."""
    client = MlflowClient()
    *kept, reviewed, moved = records_of("toy")
    for record in (reviewed, moved):
        client.delete_run(record.run_id)
    client.set_registered_model_alias("toy-prod", "champion", kept[-1].facts["to_version"])
    client.set_registered_model_tag("toy-prod", "qbias.chain", f"{kept[-1].sequence} {kept[-1].digest}")
    for name in ("gate", "review", "report_run"):
        client.delete_model_version_tag("toy", "3", f"qbias.{name}")
    without = audit(policy=store.policy)
    assert without.off == 0
    assert "newest records that were removed would not show" in without.statement
    assert audit(anchor=store.anchor).off > 0


def test_records_that_are_written_anew_show_where_the_policy_is_held_outside(store: Signed, tmp_path: Path) -> None:
    """Nobody's key is needed under a policy of one's own; an audit that is told which policy must rule sees that, and so does an anchor."""
    client = MlflowClient()
    for record in records_of("toy"):
        client.delete_run(record.run_id)
    client.delete_registered_model("toy-prod")
    for number in ("2", "3"):
        for name in ("gate", "review", "report_run"):
            client.delete_model_version_tag("toy", number, f"qbias.{name}")
    card = version_card("models:/toy/3")
    people = {who: client.create_experiment(f"forged {who}") for who in ("three", "four")}
    for who in people:
        new_key(tmp_path, who)
    with pytest.raises(ValueError, match="is not the key that policy 'signed' lists for 'one'"):
        with mlflow.start_run(experiment_id=store.policy.sign_off.reviewers[0].experiment_id):
            review(card, decision="approve", reviewer="one", reason="x", policy=store.policy, signing_key=tmp_path / "three")
    promoted(card, signed_policy("forged", tmp_path, people), tmp_path, None)
    without = audit()
    assert without.off == 0
    assert "every record is signed with a listed key" in without.statement
    assert audit(policy=store.policy).off > 0
    assert audit(anchor=store.anchor).off > 0


def test_a_policy_can_be_pinned_before_the_first_review(toy: Toy, tmp_path: Path) -> None:
    """With the very lines of the document: from then on no other policy counts, the default neither."""
    policy = plain_policy(name="team")
    file = tmp_path / "team.yaml"
    file.write_text(yaml.safe_dump(policy.model_dump(mode="json")))
    client = MlflowClient()
    client.create_registered_model("toy-prod")
    document = (Path(__file__).parent.parent / "docs" / "review.md").read_text()
    (lines,) = re.findall(r"```python\n(from registry\.policies.*?)```", document, re.DOTALL)
    exec(lines.replace('"team"', repr(str(file))), {"client": client, "MODELS": ["toy"]})  # noqa: S102 - our own document
    assert ruling_policy("toy", policy) == policy
    with pytest.raises(ValueError, match="does not rule for 'toy'"):
        ruling_policy("toy", plain_policy(name="other"))
    with mlflow.start_run(), pytest.raises(ValueError, match="names 'team'"):
        review(toy.candidate, decision="approve", reviewer="R. One", reason="x", policy=plain_policy(name="other"))
    with mlflow.start_run():
        review(toy.candidate, decision="approve", reviewer="R. One", reason="x", policy=policy)
    with mlflow.start_run():
        promote(toy.candidate, policy=policy)
    assert audit(policy=policy).off == 0
