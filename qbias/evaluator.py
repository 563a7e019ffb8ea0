"""The MLflow evaluator plugin `qbias`: an adapter between `mlflow.models.evaluate` and the pure parts.

    mlflow.models.evaluate(model, data=mlflow_dataset(dataset), model_type="qbias", evaluators="qbias",
                           evaluator_config={"benchmark": "facet", "data": "/data", "protocol": {}})

The manifest (ids, paths, labels) is the MLflow dataset; the images are read from `data` by the benchmark's loader, and a manifest that
does not match them is refused. Outcomes go to the run as Parquet, metrics to the run, the logged model and the dataset.
"""

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlflow
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.models.evaluation import EvaluationResult, ModelEvaluator
from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact
from mlflow.pyfunc import PyFuncModel
from tqdm import tqdm

from qbias.benchmarks import BENCHMARKS, load
from qbias.contract import predict_images, predict_texts
from qbias.digests import file_digest, json_digest, mapping_digest
from qbias.embed import Advance, embed_images, embed_texts, pixels, stored_embeddings
from qbias.encoder import Encoder, Rows
from qbias.environment import machine_facts
from qbias.measure import class_table, group_table, measure
from qbias.outcomes import outcomes_of, write_outcomes
from qbias.protocol import Protocol
from qbias.records import Dataset
from qbias.tables import pick

MODEL_TYPE = "qbias"
FORMAT = 1
"""Raised when the same embeddings give other outcomes or metrics, so that older runs are not taken for current ones."""
MLFLOW_DIGEST_LENGTH = 36
BAR_DELAY_S = 2.0
"""A progress bar appears only when a step takes longer than this."""


@lru_cache(maxsize=64)
def benchmark_dataset(benchmark: str, data: Path, protocol: Protocol) -> Dataset:
    """The benchmark's images and texts as the loader reads and checks them; read once per process."""
    return load(pick(BENCHMARKS, benchmark, what="benchmark"), data, protocol)


@lru_cache(maxsize=64)
def _mlflow_dataset(benchmark: str, data: Path, protocol: Protocol) -> PandasDataset:
    dataset = benchmark_dataset(benchmark, data, protocol)
    digest = dataset.digest[:MLFLOW_DIGEST_LENGTH]
    with warnings.catch_warnings():
        # MLflow registers its source for local folders twice, and says so each time.
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted in multiple ways")
        return mlflow.data.from_pandas(dataset.images, source=str(dataset.root), name=benchmark, digest=digest)


def evaluate_model(
    model: PyFuncModel, benchmarks: Sequence[str], data: Path, protocol: Protocol, *, title: str
) -> dict[str, dict[str, float]]:
    """Evaluate `model` on each benchmark within the active MLflow run; log outcomes, metrics, protocol and machine.

    Parameters
    ----------
    model : any pyfunc that keeps the contract of qbias/contract.py.
    benchmarks : names of rows of BENCHMARKS.
    data : the folder that holds the benchmarks' folders.
    title : the scenario's name in progress bars.

    Returns
    -------
    Metrics by benchmark.

    Raises
    ------
    ValueError
        On bad data (before the model runs) or a model that breaks the contract.
    """
    for name in benchmarks:
        benchmark_dataset(name, data, protocol)
    _log_conditions(benchmarks, data, protocol)
    metrics: dict[str, dict[str, float]] = {}
    insufficient: list[dict[str, Any]] = []
    digests: dict[str, str] = {}
    for name in benchmarks:
        config = {"benchmark": name, "data": str(data), "protocol": protocol.as_dict(), "title": title}
        result = mlflow.models.evaluate(
            model=model,
            data=_mlflow_dataset(name, data, protocol),
            model_type=MODEL_TYPE,
            evaluators="qbias",
            evaluator_config=config,
        )
        metrics[name] = dict(result.metrics)
        insufficient += result.artifacts["insufficient"].content
        digests[name] = result.artifacts["outcomes"].content["sha256"]
    mlflow.log_dict(insufficient, "insufficient.json")
    mlflow.set_tags({"qbias.outcomes_digest": mapping_digest(digests), "qbias.kind": "evaluation"})
    return metrics


def evaluation_key(content: str, benchmarks: Sequence[str], data: Path, protocol: Protocol) -> str:
    """Equal keys promise equal outcomes: the version's content, every dataset and prompt list, protocol and machine."""
    datasets = [benchmark_dataset(name, data, protocol) for name in benchmarks]
    facts = {
        "content": content,
        "datasets": [[row.benchmark, row.digest, row.prompts_sha256] for row in datasets],
        "protocol": protocol.digest(),
        "machine": machine_facts(),
        "format": FORMAT,
    }
    return json_digest(facts)


def _log_conditions(benchmarks: Sequence[str], data: Path, protocol: Protocol) -> None:
    """Protocol, digests and machine facts as params and tags: what must agree before two runs are paired."""
    datasets = {name: benchmark_dataset(name, data, protocol) for name in benchmarks}
    facts = machine_facts()
    params = {f"protocol.{name}": value for name, value in protocol.as_dict().items()}
    params |= {f"machine.{name}": value for name, value in facts.items()}
    for name, dataset in datasets.items():
        params[f"{name}.dataset_digest"] = dataset.digest
        params[f"{name}.prompts_sha256"] = dataset.prompts_sha256
        params[f"{name}.images"] = len(dataset.images)
    mlflow.log_params(params)
    mlflow.set_tags({
        "qbias.protocol_digest": protocol.digest(),
        "qbias.machine": json.dumps(facts, sort_keys=True),
        "qbias.benchmarks": ",".join(benchmarks),
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
        protocol = Protocol(**evaluator_config.get("protocol", {}))
        benchmark, data = evaluator_config["benchmark"], Path(evaluator_config["data"])
        ours = benchmark_dataset(benchmark, data, protocol)
        if model is None:
            raise ValueError("the qbias evaluator needs a model, not stored predictions: pass model=")
        _check_manifest(dataset.features_data, ours)
        image_ND, text_MD = embeddings(model, ours, protocol, title=f"{evaluator_config.get('title', 'model')} {benchmark}")
        outcomes = outcomes_of(ours, image_ND, text_MD, protocol)
        measured, insufficient = measure(outcomes)
        missing = [asdict(row) for row in insufficient]
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "outcomes" / benchmark
            write_outcomes(outcomes, place)
            for name, table in (("classes", class_table(outcomes)), ("groups", group_table(outcomes))):
                if not table.empty:
                    table.to_csv(place / f"{name}.csv", index=False)
            digest = file_digest(place / "outcomes.json")
            mlflow.MlflowClient().log_artifacts(run_id, folder)
        metrics = {row.name: row.value for row in measured}
        if model_id is None:
            # With a model id MLflow itself logs what is returned, linked to model and dataset; without one nobody does.
            mlflow.log_metrics(metrics, run_id=run_id, dataset=_mlflow_dataset(benchmark, data, protocol))
        uri = f"runs:/{run_id}/outcomes/{benchmark}"
        artifacts = {
            "insufficient": JsonEvaluationArtifact(uri=uri, content=missing),
            "outcomes": JsonEvaluationArtifact(uri=uri, content={"sha256": digest}),
        }
        return EvaluationResult(metrics=metrics, artifacts=artifacts)


def _check_manifest(manifest: Any, dataset: Dataset) -> None:
    """The rows given to `mlflow.models.evaluate` must be the benchmark's own, in its order."""
    given = list(manifest["id"]) if "id" in manifest else []
    if given != list(dataset.images["id"]):
        raise ValueError(
            f"the data given to evaluate ({len(given)} rows with an 'id') is not the manifest of benchmark {dataset.benchmark!r} at "
            f"{dataset.root} ({len(dataset.images)} images): pass data=mlflow.data.from_pandas(dataset.images) of the same folder"
        )


def embeddings(model: PyFuncModel, dataset: Dataset, protocol: Protocol, *, title: str) -> tuple[Rows, Rows]:
    """Unit rows of every image (dataset order) and text (list order); ours are cached by content, others computed.

    A progress bar named `title` shows what takes more than two seconds: decoding, images, texts.
    """
    size, texts, ids = protocol.batch_size, list(dataset.texts["text"]), list(dataset.images["id"])
    ours = _own_model(model)
    if ours is None:
        paths = [dataset.root / path for path in dataset.images["path"]]
        with _bar(title, len(ids), "img") as advance:
            image_ND = predict_images(model.predict, paths, ids, batch_size=size, advance=advance)
        return image_ND, predict_texts(model.predict, texts, batch_size=size)
    encoder, artifact = ours
    facts = {"artifact": artifact, "batch_size": size, "machine": machine_facts()}

    def embed_all_images() -> Rows:
        with _bar(f"{title}: decoding", len(ids), "img") as advance:
            pixel_NRR3 = pixels(dataset, encoder.preprocessing.resolution, advance=advance)
        with _bar(title, len(ids), "img") as advance:
            return embed_images(encoder, pixel_NRR3, ids, batch_size=size, advance=advance)

    def embed_all_texts() -> Rows:
        with _bar(title, len(texts), "text") as advance:
            return embed_texts(encoder, texts, batch_size=size, advance=advance)

    image_ND = stored_embeddings("images", facts | {"dataset": dataset.digest}, embed_all_images)
    return image_ND, stored_embeddings("texts", facts | {"prompts": dataset.prompts_sha256}, embed_all_texts)


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    """A progress bar on a terminal, for a step that takes longer than BAR_DELAY_S."""
    with tqdm(total=total, desc=title, unit=unit, delay=BAR_DELAY_S, leave=False, disable=None) as bar:
        yield bar.update


def _own_model(model: PyFuncModel) -> tuple[Encoder, str] | None:
    """The Encoder and the artifact's digest that our own MLflow model hands out; None for a model made by someone else."""
    try:
        inner = model.unwrap_python_model()
    except mlflow.MlflowException:
        return None
    encoder, digest = getattr(inner, "encoder", None), getattr(inner, "digest", None)
    return None if encoder is None or digest is None else (encoder, digest)


__all__ = ["MODEL_TYPE", "QbiasEvaluator", "benchmark_dataset", "embeddings", "evaluate_model", "evaluation_key"]
