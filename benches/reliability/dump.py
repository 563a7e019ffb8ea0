"""What a store holds, in a form that two stores can be compared by: no ids, no times, no version numbers.

Versions are named by model and quantizer, runs by what they are about. Lists are kept where a dictionary would hide a duplicate.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from qbias.digests import bytes_digest
from registry.runs import artifact, runs_of_kind

PASSING = re.compile(rb"\b(?:m-)?[0-9a-f]{32}\b|models:/[\w.-]+/\d+|version \d+|\b\d{4}-\d\d-\d\dT[\d:.+Z-]+")
"""What of a text differs between two equal studies: ids of runs and models, version numbers, moments."""
NUMBERED = {"version", "baseline_version", "run_id", "evaluation_run_id", "baseline_run_id"}
MEASURED_TIME = ("audit/speed/", "model/seconds")
"""Metrics that time something, so they differ between two equal studies."""
KEPT_TAGS = ("qbias.quantizer", "qbias.weights_sha256", "qbias.content", "qbias.source", "qbias.size")
SINGLE_FILES = {
    "evaluation": ("insufficient.json",),
    "registration": ("quantization.json", "model_card.md"),
    "comparison": ("comparison_index.json",),
}


def dump() -> dict[str, Any]:
    """The current store's versions, evaluations and comparisons, as plain values in one order.

    Only what counts is in it: versions, and runs that are FINISHED.
    """
    return {
        "versions": sorted((_version(row) for row in versions()), key=json.dumps),
        "evaluations": sorted((_evaluation(run) for run in runs_of_kind("evaluation")), key=json.dumps),
        "registrations": sorted((_registration(run) for run in runs_of_kind("registration")), key=json.dumps),
        "comparisons": sorted((_comparison(run) for run in runs_of_kind("comparison")), key=json.dumps),
    }


def versions() -> Iterator[ModelVersion]:
    """Every version of every registered model."""
    client = MlflowClient()
    for model in client.search_registered_models():
        yield from client.search_model_versions(f"name='{model.name}'")


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """In which parts two dumps differ, and where first."""
    return [f"{part}: {_first(expected[part], found[part])}" for part in expected if expected[part] != found[part]]


def _first(expected: list[Any], found: list[Any]) -> str:
    if len(expected) != len(found):
        return f"{len(found)} instead of {len(expected)}"
    for one, other in zip(expected, found, strict=True):
        for key in dict.fromkeys([*one, *other]):
            if one.get(key) != other.get(key):
                return f"{key}: {str(other.get(key))[:200]} instead of {str(one.get(key))[:200]}"
    return "another order"


def _version(version: ModelVersion) -> dict[str, Any]:
    client = MlflowClient()
    baseline = version.tags.get("qbias.baseline_version", "")
    of = "self" if baseline == "self" else client.get_model_version(version.name, baseline).tags["qbias.quantizer"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(download_artifacts(artifact_uri=f"models:/{version.name}/{version.version}/artifacts", dst_path=folder))
        files = {str(file.relative_to(place)): _normal(file) for file in sorted(place.rglob("*")) if file.is_file()}
    # The model card and audit.json hold measured times.
    files = {name: digest for name, digest in files.items() if not name.endswith((".md", "audit.json"))}
    tags = {name: version.tags.get(name, "") for name in KEPT_TAGS}
    return {"model": version.name, "status": version.status, "baseline": of, **tags, "files": files}


def _evaluation(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    return {
        "of": [tags["qbias.model"], tags["qbias.quantizer"]],
        "outcomes": tags["qbias.outcomes_digest"],
        "metrics": {name: repr(value) for name, value in sorted(run.data.metrics.items())},
        "params": dict(sorted(run.data.params.items())),
        "files": _files(run, "outcomes", "insufficient.json"),
    }


def _registration(run: Run) -> dict[str, Any]:
    metrics = {name: repr(value) for name, value in sorted(run.data.metrics.items()) if not name.startswith(MEASURED_TIME)}
    return {
        "of": [run.data.tags["qbias.model"], run.data.tags["qbias.quantizer"]],
        "metrics": metrics,
        "files": _files(run, "quantization.json"),
    }


def _comparison(run: Run) -> dict[str, Any]:
    with artifact(run, "comparison_index.json") as file:
        index = _without_numbers(json.loads(file.read_bytes()))
    index.pop("files", None)  # digests of texts that hold ids
    return {"index": index, "metrics": dict(sorted(run.data.metrics.items())), "files": _files(run, "report")}


def _files(run: Run, *paths: str) -> dict[str, str]:
    """Every file below these artifacts, by its normal digest."""
    found: dict[str, str] = {}
    for path in paths:
        with artifact(run, path) as place:
            files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
            found |= {f"{path}/{file.relative_to(place)}": _normal(file) for file in files}
    return found


def _normal(file: Path) -> str:
    """sha256 of a file, ids and moments in texts taken out; of a Parquet table with run ids only that it is there."""
    if file.suffix == ".parquet" and file.parent.name == "report":
        return "table"
    content = file.read_bytes()
    return bytes_digest(content if file.suffix in (".parquet", ".safetensors", ".onnx", ".png") else PASSING.sub(b"#", content))


def _without_numbers(value: Any) -> Any:
    """The same values without version numbers and run ids."""
    if isinstance(value, dict):
        return {name: _without_numbers(one) for name, one in value.items() if name not in NUMBERED}
    return [_without_numbers(one) for one in value] if isinstance(value, list) else value
