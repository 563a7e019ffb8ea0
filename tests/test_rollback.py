"""An alias goes back to the version before, with a reason, whatever the day is like; and never to what was not approved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from registry import anchor as anchors
from registry.audit import audit
from registry.cards import version_card
from registry.chain import Record, head, records_of
from registry.moves import PromotionRecord, version_before
from registry.production import pin_of
from registry.promote import alias_target, promote
from registry.review import review
from registry.rollback import rollback
from tests.promoted import POLICY, Promoted, build, flip, promoted_copy


@pytest.fixture(scope="module")
def source(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promoted")
    build(folder, empty_store)
    return folder


@pytest.fixture
def promoted(source: Path, tmp_path: Path) -> Iterator[Promoted]:
    with promoted_copy(source, tmp_path) as promoted:
        yield promoted


def back(production: str = "toy-prod", **options: Any) -> PromotionRecord:
    with mlflow.start_run():
        return rollback(production, **({"reason": "complaints about version 2"} | options))


def champion() -> str:
    return alias_target("toy-prod", "champion")


def test_the_version_before_is_champion_again_and_on_record(promoted: Promoted) -> None:
    told = back(promoter="P. Two", anchor=promoted.anchor)
    assert champion() == "1"
    assert str(told) == "alias 'champion' of toy-prod moved from version 2 to version 1 (toy version 2)"
    assert told.notes == ()
    record = records_of("toy")[-1]
    assert (record.kind, record.sequence, record.finished, record.faults) == ("rollback", 6, True, ())
    facts = {"version": "2", "from_version": "2", "to_version": "1", "promoter": "P. Two", "reason": "complaints about version 2"}
    assert record.facts.items() >= (facts | {"review_runs": promoted.record(1), "warning": "none"}).items()
    assert (anchors.read(promoted.anchor)[-1].length, anchors.read(promoted.anchor)[-1].digest) == head(records_of("toy"))
    pin = pin_of("toy-prod")
    assert pin is not None
    assert (pin.length, pin.digest) == head(records_of("toy"))
    assert audit(anchor=promoted.anchor).off == 0
    for name in ("toy", "toy-prod"):
        assert "rollback of champion" in MlflowClient().get_registered_model(name).description


def test_there_is_an_end_to_going_back(promoted: Promoted) -> None:
    back("toy")
    with pytest.raises(ValueError, match="no other version stood there before"):
        back()
    assert champion() == "1"
    with mlflow.start_run():
        promote(promoted.card, policy=POLICY)
    assert champion() == "2"
    back()
    assert champion() == "1"


def test_an_alias_that_other_hands_moved_returns_to_where_the_records_have_it(promoted: Promoted) -> None:
    client = MlflowClient()
    other = client.copy_model_version("models:/toy/1", "toy-prod").version
    client.set_registered_model_alias("toy-prod", "champion", other)
    assert (back().from_version, champion()) == (str(other), "2")
    client.delete_registered_model_alias("toy-prod", "champion")
    assert (back().from_version, champion()) == ("", "2")


def test_an_expired_approval_and_missing_evidence_are_warnings_on_record(promoted: Promoted) -> None:
    MlflowClient().delete_run(promoted.records[0].facts["comparison_run"])
    told = back()
    assert champion() == "1"
    assert any("was deleted" in note for note in told.notes)
    assert "was deleted" in records_of("toy")[-1].facts["warning"]
    faults = [fault for row in audit().rows if row.alias == "champion" for fault in row.faults]
    assert any("was deleted" in fault for fault in faults), "the audit does not take a rollback's word"


def spoil_files(promoted: Promoted) -> None:
    flip(promoted.version_file("artifacts/model/model.safetensors", "2"))


def delete_approval(promoted: Promoted) -> None:
    MlflowClient().delete_run(promoted.record(1))


def edit_approval(promoted: Promoted) -> None:
    MlflowClient().set_tag(promoted.record(1), "qbias.decision", "reject")


def reject_since(promoted: Promoted) -> None:
    with mlflow.start_run():
        review(version_card("models:/toy/2"), decision="reject", reviewer="R. Two", reason="no", policy=POLICY)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (spoil_files, "is not what was promoted: its files have changed since"),
        (delete_approval, "an approval that it went live with is gone or was altered"),
        (edit_approval, "an approval that it went live with is gone or was altered"),
        (reject_since, "it was rejected since"),
    ],
)
def test_what_is_no_longer_what_was_approved_does_not_come_back(promoted: Promoted, edit: Any, said: str) -> None:
    edit(promoted)
    before = len(records_of("toy"))
    with pytest.raises(ValueError, match=said):
        back()
    assert champion() == "2"
    assert len(records_of("toy")) == before


@pytest.mark.parametrize(
    "step", ["registry.rollback.seal", "mlflow.MlflowClient.set_registered_model_alias", "registry.rollback.show_model"]
)
def test_whatever_breaks_off_the_same_command_completes(promoted: Promoted, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def gone(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(step, gone)
        with pytest.raises(ConnectionError):
            back()
    assert back().to_version == champion() == "1"
    assert audit().off == 0


BAD_INPUT: list[tuple[str, dict[str, str], str]] = [
    ("toy-prod", {"reason": " "}, "reason is empty"),
    ("toy-prod", {"alias": "v1"}, "is reserved by MLflow"),
    ("toy-prod", {"alias": "shadow"}, "no promotion of alias 'shadow'"),
    ("other", {}, "nothing was promoted to 'other'"),
]


@pytest.mark.parametrize(("production", "options", "said"), BAD_INPUT)
def test_bad_input_moves_nothing(promoted: Promoted, production: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        back(production, **options)
    assert (champion(), len(records_of("toy"))) == ("2", 5)


def move(kind: str, to: str, *, finished: bool = True) -> Record:
    facts = {"production": "p", "alias": "a", "to_version": to}
    return Record("run", "1", kind, "m", 1, "", "", facts, {}, 0, finished)


@pytest.mark.parametrize(
    ("moves", "now", "to"),
    [
        ("", "", None),
        ("p1", "1", None),
        ("p1 p2", "2", "1"),
        ("p1 p2 r1", "1", None),
        ("p1 p2 p3", "3", "2"),
        ("p1 p2 p3 r2", "2", "1"),
        ("p1 p2 r1 p3", "3", "1"),
        ("p1 p2 p2", "2", "1"),
        ("p1 p2", "9", "2"),
        ("p1 p2", "", "2"),
        ("p1 p2 p3!", "2", "1"),
        ("p1 p2 p3!", "3", "2"),
        ("p1 p2 r1!", "2", "1"),
        ("p1 p2 r1!", "1", "1"),
        ("p1 p2! p2", "2", "1"),
        ("p1 p2 r1! p3", "3", "2"),
    ],
)
def test_the_version_before(moves: str, now: str, to: str | None) -> None:
    """Promotions `p`, rollbacks `r`, and `!` for one that broke off."""
    kinds = {"p": "promotion", "r": "rollback"}
    records = [move(kinds[word[0]], word[1], finished=not word.endswith("!")) for word in moves.split()]
    found = version_before(records, now)
    assert (found.facts["to_version"] if found else None) == to
