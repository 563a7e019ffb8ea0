"""From registration to the champion on a team's server: who may do what is decided by MLflow's permissions, and by the policy's list."""

import shutil

import mlflow
import pytest
from mlflow import MlflowClient
from requests import HTTPError

from registry.chain import records_of
from tests.flow import PROMOTER, REVIEWER, aliases, audited, trusted
from tests.server import runs

MODEL, PRODUCTION = "robots", "robots-prod"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def prepared(team, work, tiny, tmp_path_factory):
    """A candidate that nobody has reviewed yet."""
    folder = tmp_path_factory.mktemp("flow")
    with team.acting("registrar"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        work.prepare(MODEL, shutil.copytree(tiny, folder / MODEL))


@pytest.fixture(scope="module")
def promoted(team, work, prepared):
    """The same, signed by a reviewer and promoted."""
    with team.acting("reviewer"):
        assert work.review(MODEL) == 0
    with team.acting("promoter"):
        assert work.promote(MODEL) == 0


def refused(team, user, step):
    """The server itself says no."""
    with team.acting(user), pytest.raises((mlflow.MlflowException, HTTPError), match="Permission denied"):
        step()


def test_before_any_approval_nobody_gets_it_into_production(team, work, prepared, capsys):
    def said():
        return capsys.readouterr().err

    with team.acting("promoter"):
        assert work.promote(MODEL) == 1
        assert "is not approved" in said()
    with team.acting("registrar"):
        assert work.review(MODEL, reviewer="G. One") == 1
        assert "registered robots version 2" in (text := said()), text
        assert work.review(MODEL, reviewer=REVIEWER) == 1
        assert "which nobody else can write" in said()
        assert work.promote(MODEL) == 1
        assert "is no promoter's" in said()
    with team.acting("stranger"):
        assert work.review(MODEL) == 1
        assert "which nobody else can write" in said()
        assert work.promote(MODEL) == 1
        assert "is no promoter's" in said()
        assert aliases(MODEL) == aliases(PRODUCTION) == {}
        assert records_of(MODEL) == []


def test_what_a_stranger_approves_under_a_policy_of_their_own_counts_for_nothing(team, work, prepared, capsys):
    with team.acting("stranger"):
        assert work.review(MODEL, reviewer="promoter", policy=work.anyone) == 0
        (record,) = records_of(MODEL)
        assert "not checked" in record.facts["identity"]
    with team.acting("promoter"):
        assert work.promote(MODEL) == 1
        assert "is not approved" in capsys.readouterr().err
        assert aliases(PRODUCTION) == {}


@pytest.mark.parametrize(("user", "owner"), [("stranger", "reviewer"), ("registrar", "reviewer"), ("registrar", "promoter")])
def test_nobody_signs_in_another_persons_experiment(team, work, prepared, user, owner, monkeypatch, capsys):
    """A run's user is what the client says; where it may write is what the server says."""
    with team.acting(user):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", team.experiments[owner])
        monkeypatch.setenv("LOGNAME", owner)
        assert (work.review(MODEL) if owner == "reviewer" else work.promote(MODEL)) == 1
    assert "Permission denied" in capsys.readouterr().err
    with team.acting(owner):
        assert MlflowClient().search_runs([team.experiments[owner]], "tags.`qbias.model` = 'robots'") == []


def test_the_whole_flow(team, work, promoted):
    with team.acting("stranger"):
        assert aliases(PRODUCTION) == {"champion": "1"}
        assert aliases(MODEL) == {}
        copy = MlflowClient().get_model_version(PRODUCTION, "1")
        assert copy.source == f"models:/{MODEL}/2"
        approval, promotion = records_of(MODEL, trusted=trusted(team))
        assert (approval.kind, approval.facts["reviewer"], approval.signed_by_key) == ("review", REVIEWER, True)
        assert "by SSH signature" in approval.facts["identity"]
        assert (promotion.kind, promotion.facts["promoter"]) == ("promotion", PROMOTER)
        assert "by permission" in promotion.facts["identity"]
        assert [record.experiment_id for record in (approval, promotion)] == [team.experiments[name] for name in ("reviewer", "promoter")]
        assert not approval.faults
        assert not promotion.faults
    assert audited(team, MODEL) == 0


def test_the_server_refuses_whoever_changes_what_is_not_theirs(team, promoted, tmp_path):
    with team.acting("stranger"):
        approval, promotion = records_of(MODEL, trusted=trusted(team))
        comparison = runs("comparison")[0]
    (tmp_path / "record.json").write_text("{}")
    for user in ("registrar", "stranger"):
        refused(team, user, lambda: MlflowClient().set_registered_model_alias(PRODUCTION, "champion", "1"))
        refused(team, user, lambda: MlflowClient().delete_registered_model_alias(PRODUCTION, "champion"))
        refused(team, user, lambda: MlflowClient().set_registered_model_tag(PRODUCTION, "qbias.policy_digest", "0"))
        refused(team, user, lambda: MlflowClient().set_tag(approval.run_id, "qbias.kind", "review"))
        refused(team, user, lambda: MlflowClient().delete_run(promotion.run_id))
        refused(team, user, lambda: MlflowClient().log_artifact(approval.run_id, str(tmp_path / "record.json")))
    refused(team, "stranger", lambda: MlflowClient().set_registered_model_alias(MODEL, "champion", "1"))
    refused(team, "stranger", lambda: MlflowClient().set_tag(comparison.info.run_id, "qbias.kind", "comparison"))
    # Neither may those who sign delete what they have signed.
    refused(team, "reviewer", lambda: MlflowClient().delete_run(approval.run_id))


def test_what_the_registrar_can_still_do_shows(team, promoted, capsys):
    """Whoever made a registered model can move its aliases: nobody loads `champion` from there, and the audit says so."""
    with team.acting("registrar"):
        MlflowClient().set_registered_model_alias(MODEL, "champion", "2")
    try:
        assert audited(team, MODEL) == 1
        assert "champion" in capsys.readouterr().out
    finally:
        with team.acting("registrar"):
            MlflowClient().delete_registered_model_alias(MODEL, "champion")
