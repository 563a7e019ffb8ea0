"""Promotions on a team's server that dies or is cut off, and two at once: one wins, the other is told, and the same command completes."""

import shutil
import threading

import pytest
from mlflow import MlflowClient

from registry.chain import records_of
from tests.crowd import Crowd
from tests.faults import Proxy, Request
from tests.flow import aliases, audited, trusted
from tests.server import Team

MODEL, PRODUCTION = "odd", "odd-prod"
MOMENTS = ("POST model-versions/create", "POST registered-models/alias", "POST runs/update")


@pytest.fixture(scope="module", autouse=True)
def approved(team, work, tiny, tmp_path_factory):
    """A candidate that is approved; the first test promotes it."""
    folder = tmp_path_factory.mktemp("odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        with team.acting("registrar"):
            work.prepare(MODEL, shutil.copytree(tiny, folder / MODEL))
        with team.acting("reviewer"):
            assert work.review(MODEL) == 0
        yield


def promotions(team: Team) -> list[tuple[str, bool]]:
    """Alias of each promotion on record, and whether it was completed, oldest first."""
    found = records_of(MODEL, trusted=trusted(team))
    return [(record.facts["alias"], record.finished) for record in found if record.kind == "promotion"]


def test_a_promotion_cut_off_at_any_moment_is_completed_by_the_same_command(team, work, tmp_path):
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
        moment = MOMENTS[len(asked) - 1]
        # The runs that earlier attempts left are closed first; meant is the end of this attempt's own, after the alias.
        closing = moment == MOMENTS[-1] and not any(earlier.ends(MOMENTS[1]) for earlier in asked[-1])
        if request.ends(moment) and not closing:
            gone.append(request)
            return "lose"
        return "pass"

    words = work.promotion(MODEL)
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
        # Before the copy exists nothing is sealed; the last one had finished its run before it was cut off.
        assert promotions(team) == [("champion", False), ("champion", True)]
        assert work.promote(MODEL) == 0
        assert promotions(team) == [("champion", False), ("champion", True)], "there was nothing left to do"
        assert aliases(PRODUCTION) == {"champion": "1"}
        assert [str(version.version) for version in MlflowClient().search_model_versions(f"name = '{PRODUCTION}'")] == ["1"]
    assert audited(team, MODEL) == 0


def test_a_second_promotion_at_the_same_time_is_told_who_is_at_work(team, work, tmp_path, capsys):
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
    assert "another command is writing to the records of 'odd'" in said
    with team.acting("promoter"):
        assert aliases(PRODUCTION) == {"champion": "1", "raced": "1"}
        assert promotions(team)[-1] == ("raced", True)


def test_a_server_that_dies_during_a_promotion_and_returns_costs_time_only(team, work, monkeypatch):
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
    with team.acting("stranger"):
        assert aliases(PRODUCTION)["restarted"] == "1"
        assert promotions(team)[-1] == ("restarted", True)
    assert audited(team, MODEL) == 0
