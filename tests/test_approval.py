"""When a version counts as approved: the newest decision, its age, and how many people."""

import time

from registry.approval import DAY_MS, approval
from registry.chain import records_of
from registry.evidence import evidence_of
from registry.identity import person
from tests.conftest import Toy
from tests.evidence_builder import plain_policy
from tests.test_promote import approve, refusal

POLICY = plain_policy()


def test_the_age_of_an_approval(toy: Toy) -> None:
    approve(toy.candidate)
    found = evidence_of(toy.candidate, POLICY)
    for days, said in ((89.9, ""), (90.1, "is older than 90 days"), (-0.001, ""), (-1, "is dated in the future")):
        now_ms = int(time.time() * 1000 + days * DAY_MS)
        given = approval(toy.candidate, found, POLICY, records_of("toy"), verdict="review", now_ms=now_ms)
        assert given.given == (not said)
        assert len(given.records) == (not said)
        assert [said in row.reason for row in given.missing] == [True] * bool(said)


def test_approvals_before_a_rejection_do_not_count(toy: Toy) -> None:
    two = plain_policy(approvals=2)
    candidate = toy.candidate
    approve(candidate, reviewer="Ada", policy=two)
    approve(candidate, decision="reject", reviewer="Lin", policy=two)
    approve(candidate, reviewer="Grace", policy=two)
    assert "1 of 2 people" in refusal(candidate, policy=two)


def test_one_person_has_one_spelling() -> None:
    assert person(" Ｇrace  HOPPER ") == person("grace hopper")
