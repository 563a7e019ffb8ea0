"""Tallies of parts, merged in any order, give every metric that the whole gives, bit for bit; so does what was stored."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbias import outcome_files, streamed, unit_rows
from qbias.measure import measure, measured
from qbias.metrics import running
from qbias.outcomes import outcomes_of, write_outcomes
from qbias.protocol import Protocol
from qbias.records import Outcomes
from qbias.streamed import measure_stored, store_searches
from qbias.tally import Tally
from tests.made import KINDS, made_outcomes, skew
from tests.test_metrics_counts import parts
from tests.test_metrics_running import merged

FACTS: dict[str, list[dict[str, Any]]] = {
    "classification": [{}, {"class2": "either"}, {"min_per_group": 60}, {"sign": "signed", "ks": [1, 3, 5]}, {"ks": [8]}],
    "retrieval": [{}, {"ks": [1, 45, 400]}],
    "skew": [{}, {"k": 1}, {"k": 299}, {"k": 300}, {"desired": "uniform"}],
}
CASES = [(kind, facts) for kind in KINDS for facts in FACTS[kind]]


def empty_tally(outcomes: Outcomes) -> Tally:
    prompts = outcomes.frames["prompts"]["prompt"].nunique() if outcomes.kind == "skew" else 0
    return Tally(outcomes.benchmark, outcomes.kind, outcomes.facts, prompts=prompts)


@pytest.mark.parametrize(("kind", "facts"), CASES, ids=str)
@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=6), order=st.randoms(use_true_random=False), workers=st.integers(1, 3))
def test_parts_in_any_order_give_every_metric(kind: str, facts: dict[str, Any], cuts: list[int], order: Random, workers: int) -> None:
    outcomes = made_outcomes(kind, **facts)
    tallies = [empty_tally(outcomes) for _ in range(workers)]
    for name, frame in outcomes.frames.items():
        for part in parts(len(frame), cuts, order):
            order.choice(tallies).add(name, frame.iloc[part], first=part.start)
    # Dataclasses compare their floats by ==, which for finite ones is bit for bit but for the sign of zero.
    assert measured(merged(tallies, order), outcomes.kind) == measure(outcomes)


@pytest.mark.parametrize("kind", KINDS)
def test_no_part_at_all(kind: str) -> None:
    outcomes = made_outcomes(kind)
    nothing = replace(outcomes, frames={name: frame.iloc[:0] for name, frame in outcomes.frames.items()})
    found = measured(empty_tally(outcomes), outcomes.kind)
    assert not found[0]
    assert [row.name for row in found[1]] == [row.name for row in measure(nothing)[1]]


def test_tallies_of_other_facts_cannot_be_merged() -> None:
    one, two = (empty_tally(made_outcomes("skew", k=k)) for k in (3, 4))
    with pytest.raises(ValueError, match="cannot be merged"):
        one.merge(two)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts even of small data; rows scored at once do not divide them."""
    monkeypatch.setattr(outcome_files, "ROWS_A_PART", 64)
    monkeypatch.setattr(streamed, "ROWS_A_PART", 64)
    monkeypatch.setattr(unit_rows, "ROWS_AT_ONCE", 27)
    monkeypatch.setattr(running, "ROWS", 10)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("facts", FACTS["skew"], ids=str)
def test_searches_are_stored_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_parts: None, facts: Any, order: Any
) -> None:
    monkeypatch.setattr("tests.made.WIDTH", 512)
    dataset, image_ND, text_MD = skew(**facts)
    image_ND[200:] = image_ND[:100]
    outcomes = outcomes_of(dataset, image_ND, text_MD, Protocol())
    write_outcomes(outcomes, tmp_path / "whole")
    on_disk = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float32, image_ND.shape, fortran_order=order == "F")
    on_disk[:] = image_ND
    source = store_searches(dataset, on_disk, text_MD, Protocol(), tmp_path / "parts")
    assert measured(source, "skew") == measure(outcomes)
    for file in ("images.parquet", "prompts.parquet", "outcomes.json"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_a_bad_embedding_leaves_nothing_stored(tmp_path: Path) -> None:
    dataset, image_ND, text_MD = skew()
    image_ND[250] = np.nan
    with pytest.raises(ValueError, match="image row 250"):
        store_searches(dataset, image_ND, text_MD, Protocol(), tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize(("kind", "facts"), CASES, ids=str)
def test_stored_outcomes_give_the_metrics(tmp_path: Path, small_parts: None, kind: str, facts: dict[str, Any]) -> None:
    outcomes = made_outcomes(kind, **facts)
    write_outcomes(outcomes, tmp_path)
    assert measure_stored(tmp_path) == measure(outcomes)


@pytest.mark.parametrize(
    ("kind", "ranks"),
    [("classification", {"ks": [2, 4]}), ("classification", {"ks": [5, 3, 1]}), ("retrieval", {"ks": [7]}), ("skew", {"k": 77})],
    ids=str,
)
@pytest.mark.parametrize("class2", ["each", "either"])
def test_other_ranks_need_no_model(tmp_path: Path, small_parts: None, kind: str, ranks: dict[str, Any], class2: str) -> None:
    rule = {"class2": class2} if kind == "classification" else {}
    write_outcomes(made_outcomes(kind, **rule), tmp_path)
    assert measure_stored(tmp_path, **ranks) == measure(made_outcomes(kind, **rule, **ranks))


@pytest.mark.parametrize(
    ("kind", "ranks", "told"),
    [
        ("classification", {"ks": [6]}, "k=6, but the outcomes hold the best 5 classes"), ("retrieval", {"ks": [0]}, "rank 0: ranks start"),
        ("skew", {"k": 0}, "rank 0"), ("skew", {"ks": [1]}, "kind skew: skew takes k"), ("retrieval", {"k": 3}, "k=3 for outcomes of kind"),
    ],
)  # fmt: skip
def test_ranks_that_the_outcomes_cannot_answer_are_refused(tmp_path: Path, kind: str, ranks: dict[str, Any], told: str) -> None:
    write_outcomes(made_outcomes(kind), tmp_path)
    with pytest.raises(ValueError, match=told):
        measure_stored(tmp_path, **ranks)


@pytest.mark.parametrize("kind", KINDS)
def test_altered_files_are_noticed(tmp_path: Path, kind: str) -> None:
    write_outcomes(made_outcomes(kind), tmp_path)
    file = tmp_path / "images.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="altered or not stored whole"):
        measure_stored(tmp_path)


def test_a_group_that_comes_late_is_counted(tmp_path: Path) -> None:
    outcomes = made_outcomes("skew")
    frame = outcomes.frames["images"].sort_values("race", ignore_index=True)
    tally = empty_tally(outcomes)
    for start in (200, 0, 100):
        tally.add("images", frame.iloc[start : start + 100], first=start)
    whole = replace(outcomes, frames={**outcomes.frames, "images": pd.DataFrame(frame)})
    assert measured(tally, "skew") == measure(whole)
