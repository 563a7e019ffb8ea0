"""The MLflow evaluator plugin `qbias`: an adapter between `mlflow.models.evaluate` and the pure parts.

    mlflow.models.evaluate(model, data=mlflow_dataset(dataset), model_type="qbias", evaluators="qbias",
                           evaluator_config={"benchmark": "facet", "data": "/data", "protocol": {}, "on_bad_image": "fail"})

`benchmark` may also be the path of a YAML file; `engine` and `ray_address` are as the verbs take them. The manifest (ids, paths, labels)
is the MLflow dataset; the images are read from `data` by the benchmark's loader, and a manifest that does not match them is refused.
Outcomes go to the run as Parquet, metrics to the run, the logged model and the dataset.
"""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.models.evaluation import EvaluationResult, ModelEvaluator
from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact
from mlflow.pyfunc import PyFuncModel

from qbias.benchmarks import benchmark_row
from qbias.digests import file_digest, json_digest, mapping_digest
from qbias.engines import HERE, LOCAL, Engine, EngineChoice, source_of
from qbias.environment import machine_facts
from qbias.group_tables import class_table, group_table, recall_table
from qbias.measure import measured
from qbias.outcome_files import read_outcomes
from qbias.plan import Plan
from qbias.protocol import Protocol, protocol_from
from qbias.records import Dataset, Insufficient, Measured, Outcomes
from qbias.streamed import store_outcomes
from qbias.subject import Subject
from qbias.unlogged import logging_outcomes, place_of, recovered

MODEL_TYPE = "qbias"
FORMAT = 3
"""Raised when the same embeddings give other outcomes or metrics, so that older runs are not taken for current ones."""
MLFLOW_DIGEST_LENGTH = 36


@lru_cache(maxsize=64)
def _mlflow_dataset(plan: Plan) -> PandasDataset:
    """The manifest of the plan's one benchmark."""
    (dataset,) = plan.datasets()
    digest = dataset.digest[:MLFLOW_DIGEST_LENGTH]
    with warnings.catch_warnings():
        # MLflow registers its source for local folders twice, and says so each time.
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted in multiple ways")
        return mlflow.data.from_pandas(dataset.images, source=str(dataset.root), name=dataset.benchmark, digest=digest)


def evaluate_model(model: PyFuncModel, plan: Plan, *, title: str, where: EngineChoice = HERE) -> dict[str, dict[str, float]]:
    """Evaluate `model` as planned within the active MLflow run; log outcomes, metrics, protocol and machine.

    Parameters
    ----------
    model : any pyfunc that keeps the contract of qbias/contract.py.
    plan : what is measured, and on what.
    title : the scenario's name in progress bars.
    where : the engine that computes the batches; it changes no result.

    Returns
    -------
    Metrics by benchmark name.

    Raises
    ------
    ValueError
        On bad data or images (before the model runs) or a model that breaks the contract.
    """
    datasets = plan.datasets()
    _log_conditions(plan)
    for dataset in datasets:
        _subject(model, title).check_images(dataset, plan.protocol)
    metrics: dict[str, dict[str, float]] = {}
    insufficient: list[dict[str, Any]] = []
    digests: dict[str, str] = {}
    for benchmark, dataset in zip(plan.benchmarks, datasets, strict=True):
        one = plan.only(benchmark)
        result = mlflow.models.evaluate(
            model=model,
            data=_mlflow_dataset(one),
            model_type=MODEL_TYPE,
            evaluators="qbias",
            evaluator_config=_config(one) | {"title": title} | asdict(where),
        )
        metrics[dataset.benchmark] = dict(result.metrics)
        insufficient += result.artifacts["insufficient"].content
        digests[dataset.benchmark] = result.artifacts["outcomes"].content["sha256"]
    mlflow.log_dict(insufficient, "insufficient.json")
    mlflow.set_tags({"qbias.outcomes_digest": mapping_digest(digests), "qbias.kind": "evaluation"})
    return metrics


def evaluation_key(content: str, plan: Plan) -> str:
    """Equal keys promise equal outcomes: the version's content, every dataset and prompt list, protocol and machine."""
    facts = {
        "content": content,
        "datasets": [[row.benchmark, row.digest, row.prompts_sha256] for row in plan.datasets()],
        "protocol": plan.protocol.digest(),
        "machine": machine_facts(),
        "format": FORMAT,
    }
    return json_digest(facts)


def _config(plan: Plan) -> dict[str, Any]:
    """A plan with one benchmark as plain values, for `evaluator_config`."""
    (benchmark,) = plan.benchmarks
    return {
        "benchmark": benchmark,
        "data": str(plan.data),
        "protocol": plan.protocol.as_dict(),
        "on_bad_image": plan.on_bad_image,
    }


def _plan(config: Mapping[str, Any]) -> Plan:
    """The plan that an `evaluator_config` describes.

    Raises
    ------
    ValueError
        If it names no benchmark, or an unknown one, or a parameter that there is not.
    """
    if "benchmark" not in config:
        raise ValueError("evaluator_config names no benchmark: give {'benchmark': <name or path of a .yaml file>, 'data': <folder>}")
    row = benchmark_row(str(config["benchmark"]))
    if "data" not in config and not row.own:
        raise ValueError(f"evaluator_config has no 'data': give the folder that holds {row.layout}")
    protocol = protocol_from(config.get("protocol", {}))
    return Plan((str(config["benchmark"]),), Path(config.get("data", ".")), protocol, config.get("on_bad_image", "fail"))


def _log_conditions(plan: Plan) -> None:
    """Protocol, digests and machine facts as params and tags: what must agree before two runs are paired."""
    facts, datasets = machine_facts(), plan.datasets()
    params: dict[str, Any] = {f"protocol.{name}": value for name, value in plan.protocol.as_dict().items()}
    params |= {f"machine.{name}": value for name, value in facts.items()}
    for benchmark, dataset in zip(plan.benchmarks, datasets, strict=True):
        params[f"{dataset.benchmark}.dataset_digest"] = dataset.digest
        params[f"{dataset.benchmark}.prompts_sha256"] = dataset.prompts_sha256
        params[f"{dataset.benchmark}.images"] = len(dataset.images)
        params[f"{dataset.benchmark}.skipped_images"] = len(plan.skipped(benchmark))
    mlflow.log_params(params)
    mlflow.set_tags({
        "qbias.protocol_digest": plan.protocol.digest(),
        "qbias.machine": json.dumps(facts, sort_keys=True),
        "qbias.benchmarks": ",".join(dataset.benchmark for dataset in datasets),
    })  # fmt: skip


class QbiasEvaluator(ModelEvaluator):  # type: ignore[misc]
    """Measures one benchmark on one model. Found by MLflow through the entry-point group `mlflow.model_evaluator`."""

    @classmethod
    def can_evaluate(cls, *, model_type: str, evaluator_config: Mapping[str, Any], **kwargs: Any) -> bool:
        """Only what names itself ours: with `evaluators=None` MLflow asks every installed plugin."""
        return model_type == MODEL_TYPE

    def evaluate(
        self,
        *,
        model_type: str,
        dataset: Any,
        run_id: str,
        evaluator_config: Mapping[str, Any],
        model: PyFuncModel | None = None,
        model_id: str | None = None,
        **kwargs: Any,
    ) -> EvaluationResult:
        """Embed, score, measure and log one benchmark (see the module's head for `evaluator_config`)."""
        plan = _plan(evaluator_config)
        (ours,) = plan.datasets()
        if model is None:
            raise ValueError("the qbias evaluator needs a model, not stored predictions: pass model=")
        _check_manifest(dataset.features_data, ours)
        where = EngineChoice(**{key: str(evaluator_config[key]) for key in ("engine", "ray_address") if key in evaluator_config})
        subject = _subject(model, evaluator_config.get("title", "model"), where.made())
        kept = place_of(subject.artifact, ours, plan.protocol, format=FORMAT) if subject.encoder else None
        uri = f"runs:/{run_id}/outcomes/{ours.benchmark}"
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "outcomes" / ours.benchmark
            (found, insufficient), outcomes = _measured(subject, ours, plan.protocol, place, kept)
            _write_tables(outcomes, plan, place)
            digest = file_digest(place / "outcomes.json")
            with logging_outcomes(place, kept):
                mlflow.MlflowClient().log_artifacts(run_id, folder)
        metrics = {row.name: row.value for row in found}
        if model_id is None:
            # With a model id MLflow itself logs what is returned, linked to model and dataset; without one nobody does.
            mlflow.log_metrics(metrics, run_id=run_id, dataset=_mlflow_dataset(plan))
        artifacts = {
            "insufficient": JsonEvaluationArtifact(uri=uri, content=[asdict(row) for row in insufficient]),
            "outcomes": JsonEvaluationArtifact(uri=uri, content={"sha256": digest}),
        }
        return EvaluationResult(metrics=metrics, artifacts=artifacts)


def _measured(
    subject: Subject, dataset: Dataset, protocol: Protocol, place: Path, kept: Path | None
) -> tuple[tuple[list[Measured], list[Insufficient]], Outcomes | None]:
    """Write the outcomes to `place`: those that an earlier run could not log, or new ones. What `measured` gives, and what tables need."""
    if kept is not None and (found := recovered(kept, place)):
        return found, None if dataset.kind == "skew" else read_outcomes(place)
    image_ND, text_MD = subject.embeddings(dataset, protocol)
    source, outcomes = store_outcomes(dataset, image_ND, text_MD, protocol, place)
    return measured(source, dataset.kind), outcomes


def _write_tables(outcomes: Outcomes | None, plan: Plan, place: Path) -> None:
    """What people read beside the outcomes: recalls by class and group, and the images that were left out."""
    (benchmark,) = plan.benchmarks
    makers = {"classes": class_table, "groups": group_table, "recalls": recall_table}
    tables = {} if outcomes is None else {name: make(outcomes) for name, make in makers.items()}
    tables["skipped_images"] = pd.DataFrame([asdict(row) for row in plan.skipped(benchmark)])
    for name, table in tables.items():
        if not table.empty:
            table.to_csv(place / f"{name}.csv", index=False)


def _check_manifest(manifest: Any, dataset: Dataset) -> None:
    """The rows given to `mlflow.models.evaluate` must be the benchmark's own, in its order."""
    given = list(manifest["id"]) if "id" in manifest else []
    if given != list(dataset.images["id"]):
        raise ValueError(
            f"the data given to evaluate ({len(given)} rows with an 'id') is not the manifest of benchmark {dataset.benchmark!r} at "
            f"{dataset.root} ({len(dataset.images)} images): pass data=mlflow.data.from_pandas(dataset.images) of the same folder"
        )


def _subject(model: PyFuncModel, title: str, engine: Engine = LOCAL) -> Subject:
    """The model as what is evaluated; our own MLflow model hands out its Encoder and its artifact's digest."""
    try:
        inner = model.unwrap_python_model()
    except mlflow.MlflowException:
        return Subject(title, model.predict)
    encoder, digest = getattr(inner, "encoder", None), getattr(inner, "digest", None)
    if encoder is None or digest is None:
        return Subject(title, model.predict)
    return Subject(title, model.predict, encoder, digest, source_of(encoder), engine)


__all__ = ["MODEL_TYPE", "QbiasEvaluator", "evaluate_model", "evaluation_key"]
