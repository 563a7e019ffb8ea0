"""Small evaluations, in memory and on an MLflow store, for the tests of gate, review and promotion."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from qbias.digests import bytes_digest, file_digest, mapping_digest
from qbias.outcomes import write_outcomes
from qbias.protocol import Protocol
from qbias.quantizers import weights_sha256
from qbias.records import Evaluation, Outcomes, Pairing
from registry.cards import VersionCard, version_card
from registry.comparisons import INDEX, REPORT, comparison_index, report_files
from registry.policy import Policy, load_policy, policy_from


def plain_policy(*, name: str = "plain", **sign_off: Any) -> Policy:
    """The default policy without its rules, for which eight images are too few: complete evidence then gives `review`."""
    raw = load_policy().model_dump(mode="json")
    return policy_from(raw | {"name": name, "rules": [], "sign_off": raw["sign_off"] | sign_off})


IDS = [f"img-{row}" for row in range(8)]
GROUPS = ["masc", "fem"] * 4
MACHINE = {"cpu_capability": "AVX2", "quantized_engine": "x86", "threads": "2", "torch": "2.15.0"}
KINDS = {"imagenet": "classification", "coco": "retrieval", "facet": "classification", "fairface": "skew"}
METRICS = {
    "imagenet/accuracy_at_1": 0.625,
    "coco/image_retrieval_recall_at_1": 0.5,
    "facet/accuracy_at_1": 0.5,
    "facet/gender_mf/max_disparity_at_1": 0.25,
    "fairface/gender/max_skew_at_1000": 0.125,
}


def _classification() -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    pairs = [{"name": "gender_mf", "column": "gender", "first": "masc", "second": "fem"}]
    facts = {
        "classes": ["a", "b"], "templates": ["a photo of a {}"], "ks": [1, 5], "pairs": pairs, "min_per_group": 1,
        "sign": "absolute", "class2": "each",
    }  # fmt: skip
    label = [row // 4 for row in range(8)]
    tops = {f"top_{rank}": [-1] * 8 for rank in range(3, 6)}
    images = pd.DataFrame({
        "id": IDS, "label": label, "label2": [-1] * 8, "gender": GROUPS, "top_1": label, "top_2": [1 - row for row in label], **tops,
        "hit_at_1": [True] * 8, "hit_at_5": [True] * 8,
    })  # fmt: skip
    return facts, {"images": images}


def _retrieval() -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    captions = pd.DataFrame({"caption": range(8), "image": IDS, "rank": [0] * 8})
    return {"ks": [1, 5, 10]}, {"captions": captions, "images": pd.DataFrame({"id": IDS, "rank": [0] * 8})}


def _skew() -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    facts = {"attributes": {"gender": ["masc", "fem"]}, "k": 4, "desired": "dataset", "prompt_set": "berg240"}
    images = pd.DataFrame({"id": IDS, "gender": GROUPS, "score_0": [row / 8 for row in range(8)]}).astype({"score_0": "float32"})
    prompts = [(0, "a photo", "gender", value, 2) for value in ("masc", "fem")]
    return facts, {"images": images, "prompts": pd.DataFrame(prompts, columns=["prompt", "text", "attribute", "value", "count"])}


def outcomes_of(benchmark: str, *, protocol: Protocol | None = None) -> Outcomes:
    """Eight images' outcomes of one of the four benchmarks."""
    protocol = protocol or Protocol()
    kind = KINDS[benchmark]
    facts, frames = {"classification": _classification, "retrieval": _retrieval, "skew": _skew}[kind]()
    digests = bytes_digest(f"{benchmark} images".encode()), bytes_digest(f"{benchmark} prompts".encode())
    return Outcomes(benchmark, kind, facts, frames, *digests, protocol.as_dict(), protocol.digest())  # type: ignore[arg-type]


def all_outcomes(*, protocol: Protocol | None = None) -> dict[str, Outcomes]:
    return {benchmark: outcomes_of(benchmark, protocol=protocol) for benchmark in KINDS}


def evaluation_of(card: VersionCard, run_id: str, **changes: Any) -> Evaluation:
    """A version's evaluation as a record, without a store."""
    whole = Evaluation(
        card.name, card.quantizer, card.version, card.baseline_version, card.source, card.size, run_id, card.weights_sha256,
        MACHINE, all_outcomes(), METRICS,
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)


def register(model: str, *, quantizers: Sequence[str] = ("fp32", "bnb-nf4"), by: str = "Registrar") -> list[VersionCard]:
    """A registered model with a baseline and candidates, each with a few bytes as its weights; their cards."""
    client = MlflowClient()
    client.create_registered_model(model)
    versions: list[ModelVersion] = []
    for name in quantizers:
        folder = _version_files(model, name)
        baseline = str(versions[0].version) if versions else "self"
        tags = _version_tags(model, name, folder) | {"qbias.baseline_version": baseline, "qbias.registered_by": by}
        versions.append(client.create_model_version(model, source=folder.as_uri(), tags=tags))
    return [version_card(f"models:/{model}/{version.version}") for version in versions]


def _version_files(model: str, quantizer: str) -> Path:
    """The folder of a version as `register` logs it, in small."""
    experiment = MlflowClient().get_experiment(os.environ["MLFLOW_EXPERIMENT_ID"])
    folder = Path(experiment.artifact_location.removeprefix("file://")) / "versions" / model / quantizer
    saved = folder / "artifacts" / "model"
    saved.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (saved / "config.json").write_text('{"projection_dim": 64}', encoding="utf-8")
    (saved / "model.safetensors").write_bytes(f"{model} {quantizer}".encode())
    return folder


def version_file(card: VersionCard, path: str = "artifacts/model/model.safetensors") -> Path:
    """Where a file of a version lies on disk."""
    uri = MlflowClient().get_model_version_download_uri(card.name, card.version)
    return Path(uri.removeprefix("file://")) / path


def _version_tags(model: str, quantizer: str, folder: Path) -> dict[str, str]:
    return {
        "qbias.quantizer": quantizer,
        "qbias.weights_sha256": weights_sha256(folder / "artifacts" / "model"),
        "qbias.content": bytes_digest(f"{model} {quantizer} content".encode()),
        "qbias.source": "balanced",
        "qbias.size": "small",
    }


def log_evaluation(
    card: VersionCard,
    *,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    protocol: Protocol | None = None,
    experiment: str | None = None,
    status: str = "FINISHED",
) -> str:
    """An evaluation run as the evaluator writes it; its id."""
    outcomes = all_outcomes(protocol=protocol)
    with mlflow.start_run(experiment_id=experiment) as run, TemporaryDirectory() as folder:
        places = {name: Path(folder) / "outcomes" / name for name in outcomes}
        for name, place in places.items():
            write_outcomes(outcomes[name], place)
        mlflow.log_artifacts(folder)
        mlflow.log_dict([], "insufficient.json")
        mlflow.log_metrics(dict(METRICS if metrics is None else metrics))
        written = {
            "qbias.model": card.name, "qbias.version": card.version, "qbias.quantizer": card.quantizer,
            "qbias.baseline_version": card.baseline_version, "qbias.weights_sha256": card.weights_sha256, "qbias.source": card.source,
            "qbias.size": card.size, "qbias.protocol_digest": (protocol or Protocol()).digest(),
            "qbias.evaluation_key": bytes_digest(f"{card.name} {card.version}".encode()), "qbias.machine": json.dumps(MACHINE),
            "qbias.benchmarks": ",".join(outcomes),
            "qbias.outcomes_digest": mapping_digest({name: file_digest(place / "outcomes.json") for name, place in places.items()}),
            "qbias.kind": "evaluation",
        }  # fmt: skip
        mlflow.set_tags(written | dict(tags or {}))
    MlflowClient().set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


def log_comparison(candidate: tuple[VersionCard, str], baseline: tuple[VersionCard, str], *, status: str = "FINISHED") -> str:
    """A comparison run that holds one pair, each side given as card and evaluation run; its id."""
    pairing = Pairing(evaluation_of(*baseline), evaluation_of(*candidate))
    with mlflow.start_run() as run, TemporaryDirectory() as folder:
        report = Path(folder) / REPORT
        report.mkdir()
        (report / "report.html").write_text("<p>compared</p>", encoding="utf-8")
        (report / "table1.csv").write_text("metric,difference\n", encoding="utf-8")
        mlflow.log_artifacts(folder)
        mlflow.log_dict(comparison_index([pairing], [], report_files(Path(folder))), INDEX)
        key = bytes_digest(f"{candidate[1]} {baseline[1]}".encode())
        mlflow.set_tags({"qbias.kind": "comparison", "qbias.comparison_key": key})
    MlflowClient().set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


def complete(model: str) -> tuple[VersionCard, VersionCard, dict[str, str]]:
    """A candidate with complete evidence: its card, its baseline's, and the run ids by what they are."""
    baseline, candidate = register(model)
    runs = {"baseline": log_evaluation(baseline), "candidate": log_evaluation(candidate)}
    runs["comparison"] = log_comparison((candidate, runs["candidate"]), (baseline, runs["baseline"]))
    return candidate, baseline, runs


def artifact_file(run_id: str, path: str) -> Path:
    """Where an artifact of a run lies on disk."""
    uri = MlflowClient().get_run(run_id).info.artifact_uri
    return Path(uri.removeprefix("file://")) / path
