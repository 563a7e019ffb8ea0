"""Which evaluations a comparison run compared: `comparison_index.json`, written with the run and read from there."""

import json
from collections.abc import Sequence
from typing import Any

from mlflow import MlflowException

from qbias.digests import bytes_digest
from qbias.records import Evaluation, Pairing, Refusal
from registry.runs import artifact, runs_of_kind

INDEX = "comparison_index.json"
PAIR_FIELDS = (
    "model",
    "version",
    "quantizer",
    "baseline_version",
    "evaluation_run_id",
    "baseline_run_id",
    "weights_sha256",
)


def comparison_index(pairings: Sequence[Pairing], refusals: Sequence[Refusal]) -> dict[str, Any]:
    """What a comparison run writes as `comparison_index.json`: which evaluations it compared, and which it refused."""
    rows = [(row.candidate, row.baseline) for row in pairings]
    return {
        "pairs": [
            dict(
                zip(
                    PAIR_FIELDS,
                    (
                        own.model,
                        own.version,
                        own.quantizer,
                        base.version,
                        own.run_id,
                        base.run_id,
                        own.weights_sha256,
                    ),
                    strict=True,
                )
            )
            for own, base in rows
        ],
        "refusals": [
            {
                "model": row.model,
                "quantizer": row.quantizer,
                "version": row.version,
                "differences": [list(d) for d in row.differences],
            }
            for row in refusals
        ],
    }


def comparison_of(candidate: Evaluation, baseline: Evaluation) -> tuple[str, str]:
    """Run id of the newest finished comparison of exactly this pair, and its index's sha256; "" where there is none."""
    (wanted,) = comparison_index([Pairing(baseline, candidate)], [])["pairs"]
    for run in runs_of_kind("comparison"):
        try:
            with artifact(run, INDEX) as file:
                content = file.read_bytes()
            held = wanted in json.loads(content)["pairs"]
        except (ValueError, KeyError, TypeError, OSError, MlflowException):
            continue  # a comparison that cannot be read is no evidence; another one may be
        if held:
            return run.info.run_id, bytes_digest(content)
    return "", ""
