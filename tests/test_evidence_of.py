"""Every statistic of a comparison, from real outcomes of small benchmarks: what is there, what is not, and the same again."""

from dataclasses import replace

import pytest

from qbias.comparison import compare
from qbias.evidence import NO_NOISE, evidence_of
from qbias.measure import measure
from qbias.records import Evaluation
from qbias.significance import AnalysisPlan, Endpoint, Margin
from tests.made import KINDS, made_outcomes
from tests.synthetic import MACHINE

PLAN = AnalysisPlan(
    endpoints=(Endpoint("facet/accuracy_at_1", 0.05, "why"), Endpoint("fairface/largest_mean_skew_change", 0.5, "why")),
    margins=(Margin("*", 0.05, "why"),),
    draws=60,
)
BENCHMARKS = dict(zip(KINDS, ("facet", "coco", "fairface"), strict=True))


def evaluation(model: str, version: str, seed: int) -> Evaluation:
    """Outcomes of drawn embeddings; equal data for all models, as a study has it."""
    outcomes = {name: made_outcomes(kind, seed) for kind, name in BENCHMARKS.items()}
    metrics = {row.name: row.value for found in outcomes.values() for row in measure(found)[0]}
    return Evaluation(
        model=model, quantizer="fp32" if version == "1" else "bnb-nf4", version=version, baseline_version="1", source=model[-1],
        size="s8", run_id=f"run-{model}-{version}", weights_sha256=version * 64, machine=MACHINE, outcomes=outcomes, metrics=metrics,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found():
    """Four models, each with one candidate that flips a share of its own images."""
    rows = []
    for place, model in enumerate(("toy-a", "toy-b", "toy-c", "toy-d")):
        baseline = evaluation(model, "1", 0)
        rows += [baseline, flipped(replace(baseline, version="2", quantizer="bnb-nf4", run_id=f"run-{model}-2"), 20 + 10 * place)]
    return compare(rows)


def flipped(candidate: Evaluation, images: int) -> Evaluation:
    """The candidate with that many hits turned into misses, and the scores of one prompt turned round."""
    facet, faces = candidate.outcomes["facet"], candidate.outcomes["fairface"]
    rows = facet.frames["images"].copy()
    rows.loc[rows.index[rows["hit_at_1"]][:images], ["hit_at_1", "top_1"]] = [False, 7]
    scores = faces.frames["images"].assign(score_0=lambda frame: -frame["score_0"])
    outcomes = dict(candidate.outcomes) | {
        "facet": replace(facet, frames={"images": rows}),
        "fairface": replace(faces, frames=dict(faces.frames) | {"images": scores}),
    }
    metrics = {row.name: row.value for found in outcomes.values() for row in measure(found)[0]}
    return replace(candidate, outcomes=outcomes, metrics=metrics)


@pytest.fixture(scope="module")
def evidence(found):
    return evidence_of(found, PLAN)


def test_every_part_is_there(evidence):
    for part in ("cells", "changes", "mcnemar", "churn", "bands", "swaps", "nulls", "sensitivity"):
        assert getattr(evidence, part), part
    assert {row.benchmark for row in evidence.churn} == {"facet"}
    assert {row.metric.partition("/")[0] for row in evidence.changes} == {"facet", "coco", "fairface"}
    assert {row.quantizer for row in evidence.nulls} == {"fp32", "bnb-nf4"}


def test_without_arms_a_note_says_so(evidence):
    assert NO_NOISE in evidence.notes


def test_the_planted_loss_is_found_where_it_is(evidence):
    (cell,) = [row for row in evidence.cells if row.metric == "facet/accuracy_at_1"]
    assert cell.verdict.name == "worse"
    assert [row.lost for row in evidence.mcnemar if row.metric == "facet/accuracy_at_1"] == [20, 30, 40, 50]
    assert all(row.high < 0 for row in evidence.changes if row.metric == "facet/accuracy_at_1")
    assert all(
        row.low == row.high == row.difference == 0 or row.low < 0 < row.high for row in evidence.changes if row.metric.startswith("coco")
    )


def test_primary_cells_know_how_far_the_models_agree(evidence):
    cells = {row.metric: row for row in evidence.cells if row.role == "primary"}
    joint = cells["facet/accuracy_at_1"].heterogeneity
    assert joint.models == ("toy-a", "toy-b", "toy-c", "toy-d")
    assert joint.change_M == pytest.approx((-20 / 400, -30 / 400, -40 / 400, -50 / 400))
    # The images that one model loses are among those that the next one loses.
    assert joint.mean_correlation > 0.5


def test_the_same_again(found, evidence):
    again = evidence_of(found, PLAN)
    assert again == evidence


def test_sensitivity_tells_what_an_open_choice_turns(evidence):
    rows = evidence.sensitivity
    assert {"facet_sign", "min_per_group", "facet_class2", "desired", "prompts", "margin"} <= {row.choice for row in rows}
    (double,) = [row for row in rows if (row.choice, row.value, row.metric) == ("margin", "double", "facet/accuracy_at_1")]
    assert double.default_verdict == "worse"
    assert double.changed == (double.verdict != "worse")
    signed = [row for row in rows if row.choice == "facet_sign" and "max_disparity" in row.metric]
    assert signed
    assert not {row.verdict for row in signed} & {"worse", "better"}
