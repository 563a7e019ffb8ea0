"""The index of a comparison: written and read by the same module, passed over where it cannot be read."""

from mlflow.entities import Run

from qbias.records import Pairing, Refusal
from registry.comparisons import INDEX, comparison_index, comparison_of
from registry.evidence import evaluations
from tests.conftest import Toy
from tests.evidence_builder import artifact_file, log_comparison


def run_id(run: Run | None) -> str:
    assert run is not None
    return str(run.info.run_id)


def test_the_index_names_pairs_and_refusals(toy: Toy) -> None:
    (baseline, candidate), _ = evaluations([toy.baseline, toy.candidate])
    refusal = Refusal("toy", "bnb-int8", "3", (("facet: dataset digest", "a", "b"),))
    assert comparison_index([Pairing(baseline, candidate)], [refusal], {"report/report.html": "0" * 64}) == {
        "pairs": [
            {
                "model": "toy",
                "version": toy.candidate.version,
                "quantizer": "bnb-nf4",
                "baseline_version": toy.baseline.version,
                "evaluation_run_id": toy.runs["candidate"],
                "baseline_run_id": toy.runs["baseline"],
                "weights_sha256": toy.candidate.weights_sha256,
            }
        ],
        "refusals": [{"model": "toy", "quantizer": "bnb-int8", "version": "3", "differences": [["facet: dataset digest", "a", "b"]]}],
        "files": {"report/report.html": "0" * 64},
    }


def test_only_exactly_this_pair_counts(toy: Toy) -> None:
    (baseline, candidate), _ = evaluations([toy.baseline, toy.candidate])
    assert run_id(comparison_of(candidate, baseline)) == toy.runs["comparison"]
    assert comparison_of(baseline, candidate) is None


def test_a_comparison_that_cannot_be_read_is_passed_over(toy: Toy) -> None:
    (baseline, candidate), _ = evaluations([toy.baseline, toy.candidate])
    newer = log_comparison((toy.candidate, toy.runs["candidate"]), (toy.baseline, toy.runs["baseline"]))
    assert run_id(comparison_of(candidate, baseline)) == newer
    for content in ("{", "[]", '{"pairs": 3}', '{"pairs": "all"}', '{"refusals": []}'):
        artifact_file(newer, INDEX).write_text(content, encoding="utf-8")
        assert run_id(comparison_of(candidate, baseline)) == toy.runs["comparison"]
