"""From registration to the champion on a team's server: who may do what is decided by MLflow's permissions, and by the policy's list."""

import shutil
import threading

import mlflow
import pytest
from mlflow import MlflowClient
from requests import HTTPError

from registry.chain import records_of
from tests.crowd import Crowd
from tests.faults import Proxy, Request
from tests.flow import PROMOTER, REVIEWER
from tests.server import call, runs

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


@pytest.fixture(scope="module")
def odd(team, work, tiny, tmp_path_factory):
    """A candidate that is approved and not promoted."""
    folder = tmp_path_factory.mktemp("odd")
    with team.acting("registrar"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        work.prepare("odd", shutil.copytree(tiny, folder / "odd"))
    with team.acting("reviewer"):
        assert work.review("odd") == 0
    return "odd"


def aliases(name):
    """Where a registered model's aliases stand; none for one that does not exist."""
    found = [model.aliases for model in MlflowClient().search_registered_models() if model.name == name]
    return {alias: str(version) for alias, version in found[0].items()} if found else {}


def refused(team, user, step):
    """The server itself says no."""
    with team.acting(user), pytest.raises((mlflow.MlflowException, HTTPError), match="Permission denied"):
        step()


def trusted(team):
    """Where the policy's people sign."""
    return frozenset(team.experiments[name] for name in ("registrar", "reviewer", "second", "promoter"))


def audited(team, model=MODEL):
    """The verb as whoever may read runs it: its exit code."""
    with team.acting("stranger"):
        return call("audit", "--models", model)


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
    assert audited(team) == 0


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
        assert audited(team) == 1
        assert "champion" in capsys.readouterr().out
    finally:
        with team.acting("registrar"):
            MlflowClient().delete_registered_model_alias(MODEL, "champion")


def test_a_second_promotion_at_the_same_time_is_told_who_is_at_work(team, work, promoted, tmp_path, capsys):
    """The first waits before it moves the alias until the second has been refused."""
    arrived, go_on = threading.Event(), threading.Event()

    def judge(request):
        if request.ends("POST registered-models/alias"):
            arrived.set()
            assert go_on.wait(120)
        return "pass"

    with Proxy(team.address, judge) as proxy:
        first = Crowd(team, "promoter", "promote", [work.promotion(MODEL, alias="raced")], tmp_path / "said", proxy.address)
        try:
            assert arrived.wait(120), first.wait()
            with team.acting("promoter"):
                assert work.promote(MODEL, alias="raced") == 1
                assert aliases(PRODUCTION) == {"champion": "1"}
        finally:
            go_on.set()
        assert first.wait() == [0], first.texts
    said = capsys.readouterr().err
    assert "another command is writing to the records of 'robots'" in said
    with team.acting("promoter"):
        assert aliases(PRODUCTION) == {"champion": "1", "raced": "1"}
        assert [record.facts["alias"] for record in records_of(MODEL, trusted=trusted(team)) if record.kind == "promotion"] == [
            "champion",
            "raced",
        ]
    assert audited(team) == 0


MOMENTS = (
    "POST model-versions/create", "PUT record.json", "POST registered-models/alias", "POST registered-models/set-tag", "POST runs/update"
)  # fmt: skip


def test_a_promotion_cut_off_at_any_moment_is_completed_by_the_same_command(team, work, odd, tmp_path):
    """The server does what it was asked last, and then is gone; the next time it goes on from there, up to the next moment."""
    asked: list[list[Request]] = []
    gone: list[Request] = []

    def judge(request):
        if request.ends("POST runs/create"):
            asked.append([])
            gone.clear()
        if request.method == "GET":
            return "pass"
        asked[-1].append(request)
        if gone:
            return "drop"
        if request.ends(MOMENTS[len(asked) - 1]):
            gone.append(request)
            return "lose"
        return "pass"

    words = work.promotion(odd)
    with Proxy(team.address, judge) as proxy:
        cut = Crowd(
            team, "promoter", "promote", [words] * len(MOMENTS), tmp_path / "said", proxy.address,
            at_once=False, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
        )  # fmt: skip
        codes = cut.wait()
    assert codes == [1] * len(MOMENTS), "\n".join(cut.texts)
    for requests, moment in zip(asked, MOMENTS, strict=True):
        assert any(request.ends(moment) for request in requests), moment
    with team.acting("promoter"):
        # The last one was told that its run has finished before it was cut off.
        finished = [record.finished for record in records_of(odd) if record.kind == "promotion"]
        assert finished == [False] * (len(finished) - 1) + [True]
        assert len(finished) > 2
        assert call("promote", *words) == 0
        assert aliases(f"{odd}-prod") == {"champion": "1"}
        assert [str(version.version) for version in MlflowClient().search_model_versions(f"name = '{odd}-prod'")] == ["1"]
        assert len([record for record in records_of(odd) if record.kind == "promotion"]) == len(finished), "there was nothing left to do"
    assert audited(team, odd) == 0


def test_a_server_that_dies_during_a_promotion_and_returns_costs_time_only(team, work, promoted, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    restart = threading.Thread(target=team.process.start)

    def dies():
        team.process.kill()
        restart.start()

    def judge(request):
        return dies if not restart.ident and request.ends("POST registered-models/alias") else "pass"

    with Proxy(team.address, judge) as proxy, team.acting("promoter", proxy.address):
        code = work.promote(MODEL, alias="restarted")
        restart.join()
    assert code == 0
    assert audited(team) == 0
    with team.acting("stranger"):
        assert aliases(PRODUCTION)["restarted"] == "1"
        newest = records_of(MODEL, trusted=trusted(team))[-1]
        assert (newest.facts["alias"], newest.finished) == ("restarted", True)
