"""Which evaluations a comparison run compared, and the sha256 of its report's files: `comparison_index.json`, written with the run.

Its digest stands for the whole comparison: whoever checks the index and the files that it lists has checked the report.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowException
from mlflow.entities import Run

from qbias.digests import folder_digests
from qbias.records import Evaluation, Pairing, Refusal
from registry.runs import artifact, runs_of_kind

INDEX, REPORT = "comparison_index.json", "report"
PAIR_FIELDS = (
    "model",
    "version",
    "quantizer",
    "baseline_version",
    "evaluation_run_id",
    "baseline_run_id",
    "weights_sha256",
)


def comparison_index(pairings: Sequence[Pairing], refusals: Sequence[Refusal], files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a comparison run writes as `comparison_index.json`.

    Parameters
    ----------
    pairings, refusals : which evaluations it compared, and which it refused.
    files : the report's files with their sha256, as `report_files` gives them.
    """
    return {
        "pairs": [_pair(row.candidate, row.baseline) for row in pairings],
        "refusals": [
            {
                "model": row.model,
                "quantizer": row.quantizer,
                "version": row.version,
                "differences": [list(d) for d in row.differences],
            }
            for row in refusals
        ],
        "files": dict(files or {}),
    }


def _pair(own: Evaluation, base: Evaluation) -> dict[str, str]:
    facts = (own.model, own.version, own.quantizer, base.version, own.run_id, base.run_id, own.weights_sha256)
    return dict(zip(PAIR_FIELDS, facts, strict=True))


def report_files(folder: Path) -> dict[str, str]:
    """The report's files below the folder of a run's artifacts: path among the artifacts -> sha256."""
    return {f"{REPORT}/{path}": digest for path, digest in folder_digests(folder / REPORT).items()}


def comparison_of(candidate: Evaluation, baseline: Evaluation) -> Run | None:
    """The newest finished comparison of exactly this pair; None where there is none."""
    for run in runs_of_kind("comparison"):
        try:
            with artifact(run, INDEX) as file:
                held = _holds(file, candidate, baseline)
        except (ValueError, KeyError, TypeError, OSError, MlflowException):
            continue  # a comparison that cannot be read is no evidence; another one may be
        if held:
            return run
    return None


def check_comparison(run: Run, folder: Path, candidate: Evaluation, baseline: Evaluation) -> None:
    """Refuse a comparison that does not hold this pair, or whose report is not as it was written.

    Parameters
    ----------
    run : the comparison. folder : its artifacts. candidate, baseline : the pair.

    Raises
    ------
    ValueError
        The message names the first files that were altered, are missing or came later.
    """
    where = f"comparison run {run.info.run_id}"
    try:
        held = _holds(folder / INDEX, candidate, baseline)
        listed = dict(json.loads((folder / INDEX).read_bytes())["files"])
    except (KeyError, TypeError, OSError, RecursionError) as error:
        raise ValueError(f"{where} has no readable {INDEX} with the digests of its report: compare again") from error
    if not held:
        raise ValueError(f"{where} does not hold the pair of runs {candidate.run_id} and {baseline.run_id}")
    if not listed:
        raise ValueError(f"{where} lists no report files: compare again")
    found = report_files(folder)
    odd = sorted(path for path in listed.keys() | found.keys() if listed.get(path) != found.get(path))
    if odd:
        more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise ValueError(f"{where}: {', '.join(odd[:3])}{more} altered, missing or added since: compare again")


def _holds(index: Path, candidate: Evaluation, baseline: Evaluation) -> bool:
    return _pair(candidate, baseline) in json.loads(index.read_bytes())["pairs"]
