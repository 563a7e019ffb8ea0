"""A small study that is killed at a named moment, then started again by the same command, ends like one that was never disturbed."""

from pathlib import Path
from typing import Any

import pytest

from benches.reliability.checks import faults
from benches.reliability.dump import differences
from benches.reliability.kills import MOMENTS, named_kill, reference
from benches.reliability.study import Place
from tests.conftest import Toy


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the store holds after a study that nobody disturbed."""
    return reference(tmp_path_factory.mktemp("reference") / "place")[0]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at(moment: str, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    trial = named_kill(tmp_path / "place", undisturbed, moment)
    assert trial.hit
    assert trial.faults == ()


def test_a_difference_between_dumps_is_told() -> None:
    whole = {"versions": [{"model": "toy", "files": {"a": "1"}}]}
    assert differences(whole, whole) == []
    assert differences(whole, {"versions": []}) == ["versions: 0 instead of 1"]
    assert differences(whole, {"versions": [{"model": "toy", "files": {"a": "2"}}]})[0].startswith("versions: files:")


def test_what_a_disturbance_leaves_is_told(toy: Toy, tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient

    place = Place(tmp_path / "place")
    (place.cache / "pixels").mkdir(parents=True)
    place.passing.mkdir()
    before = faults(place)
    client = MlflowClient()
    twin = client.get_model_version("toy", toy.candidate.version)
    client.create_model_version("toy", source=twin.source, tags=twin.tags)
    (place.cache / "pixels" / ".half").touch()
    (place.passing / "qbias-1").mkdir()
    with mlflow.start_run(tags={"qbias.kind": "comparison"}):
        pass
    client.create_run(toy.store.experiment, run_name="left")
    said = " ".join(row for row in faults(place) if row not in before)
    for what in (
        "2 versions of content",
        "FINISHED without comparison_index.json",
        "(left) is RUNNING",
        ".half was left",
        "qbias-1 was left",
    ):
        assert what in said
