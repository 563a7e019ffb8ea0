"""Versions of registered models: made once per content, whole or not at all.

A version appears in one call to MLflow, with all its tags, after its files are logged; an interrupted registration leaves a failed run
and no version. Reading versions back is the business of cards.py, whose names can be imported from here too.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from qbias.audit import audit_of
from qbias.digests import bytes_digest, folder_digests, json_digest
from qbias.environment import library_version
from qbias.model_rows import ModelRow
from qbias.pyfunc import ARTIFACT, code_files, example, signature
from qbias.quantizers import QUANTIZERS, Coverage, Quantizer, weights_sha256
from qbias.quantizers.artifact import FORMAT
from qbias.quantizers.torch_encoder import installed_versions
from qbias.turns import one_at_a_time
from registry.cards import PREFIX, SELF, VersionCard, card_of, cards_of, copied_from, find_card, version_card, version_cards, versions_of
from registry.descriptions import model_card, model_description, version_description
from registry.leftovers import link_version
from registry.pages import section_of, with_section, without_section
from registry.process import own_process
from registry.runs import user_of

__all__ = ["VersionCard", "find_card", "register", "version_card", "version_cards"]
AUDIT = "audit"
MODEL_CARD = "model_card.md"
DESCRIPTION_TAG = "qbias.description_sha256"
"""Of a registered model: of the description that `register` wrote last, so that a person's own is known and left alone."""


def register(row: ModelRow, quantizers: Sequence[Quantizer], *, report: Callable[[str], None] = print) -> list[VersionCard]:
    """The versions of a model in these precisions, baseline first; what exists with the same content is reused, not made again.

    Parameters
    ----------
    row : the model. quantizers : rows of QUANTIZERS; `fp32` is registered whether it is among them or not.
    report : called with one line per version.

    Returns
    -------
    The baseline's card, then one card per other quantizer, in the order given.

    Raises
    ------
    ValueError
        If the model's folder is not a CLIPModel, or a quantizer's library is not installed.
    """
    folder = row.folder()
    files = folder_digests(folder)
    with one_at_a_time(f"register-{row.name}"):
        return _registered(row, folder, files, quantizers, report)


def _registered(
    row: ModelRow, folder: Path, files: Mapping[str, str], quantizers: Sequence[Quantizer], report: Callable[[str], None]
) -> list[VersionCard]:
    """What exists, and what is made now; no other process of this machine makes versions of this model meanwhile."""
    existing = list(cards_of(row.name))
    rows = [QUANTIZERS["fp32"], *(quantizer for quantizer in quantizers if quantizer.name != "fp32")]
    cards: list[VersionCard] = []
    for quantizer in rows:
        content = content_digest(files, quantizer)
        baseline = cards[0].version if cards else SELF
        found = [card for card in existing if card.content == content and baseline in (card.baseline_version, SELF)]
        card = found[-1] if found else _make(row, folder, quantizer, content, baseline)
        report(f"{row.name} {quantizer.name}: {'unchanged, ' if found else 'registered as '}version {card.version}")
        cards.append(card)
    return cards


def content_digest(files: Mapping[str, str], quantizer: Quantizer) -> str:
    """Digest of all that a version is made from: baseline files, quantizer, settings, library versions, artifact format."""
    libraries = installed_versions(quantizer.packages)
    return json_digest([dict(files), quantizer.name, dict(quantizer.settings), libraries, FORMAT])


def _make(row: ModelRow, folder: Path, quantizer: Quantizer, content: str, baseline: str) -> VersionCard:
    """Quantize, log, and only then create the version."""
    run_tags = {"qbias.kind": "registration", "qbias.model": row.name, "qbias.quantizer": quantizer.name, **own_process()}
    with (
        tempfile.TemporaryDirectory(prefix="qbias-") as scratch,
        mlflow.start_run(run_name=f"register {row.name} {quantizer.name}", nested=True, tags=run_tags) as run,
    ):
        saved = Path(scratch) / ARTIFACT
        coverage = quantizer.save(folder, saved)
        audit = audit_of(folder, saved)
        audit.write(Path(scratch) / AUDIT)
        metrics = _metrics(saved, coverage) | dict(audit.metrics)
        (Path(scratch) / MODEL_CARD).write_text(model_card(row, quantizer, coverage, metrics), encoding="utf-8")
        tags = {
            "qbias.quantizer": quantizer.name,
            "qbias.baseline_version": baseline,
            "qbias.weights_sha256": weights_sha256(saved),
            "qbias.content": content,
            "qbias.source": row.source,
            "qbias.size": row.size,
            "qbias.registered_by": user_of(run),
        }
        model_id = _logged(saved, quantizer, Path(scratch), tags)
        mlflow.log_metrics(metrics, model_id=model_id)
        mlflow.log_dict({"settings": dict(quantizer.settings), "coverage": asdict(coverage)}, "quantization.json")
        mlflow.log_artifacts(str(Path(scratch) / AUDIT), AUDIT)
        mlflow.log_artifact(str(Path(scratch) / MODEL_CARD))
        page = version_description(row, quantizer, coverage, metrics, uri=f"{PREFIX}{model_id}")
        return _created(row, run.info.run_id, model_id, tags, page)


def _logged(saved: Path, quantizer: Quantizer, scratch: Path, tags: Mapping[str, str]) -> str:
    """Log the folder as an MLflow model of the active run; the id of the logged model."""
    code = scratch / "code"
    for name, file in code_files().items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, code / name)
    width = int(json.loads((saved / "config.json").read_text())["projection_dim"])
    modules = list(sys.path)
    try:
        info = mlflow.pyfunc.log_model(
            name=ARTIFACT,
            python_model=str(code / "qbias" / "pyfunc.py"),
            artifacts={ARTIFACT: str(saved), AUDIT: str(scratch / AUDIT / "audit.json"), "card": str(scratch / MODEL_CARD)},
            code_paths=[str(code / "qbias")],
            pip_requirements=pip_requirements(quantizer),
            signature=signature(width),
            input_example=example(),
            tags={name: value for name, value in tags.items() if name != "qbias.baseline_version"},
        )
    finally:
        # MLflow loads the model to try the example, and leaves a folder on the path that is gone, where anyone may put another.
        sys.path[:] = modules
    return str(info.model_id)


def pip_requirements(quantizer: Quantizer) -> list[str]:
    """What a version needs where it is served, at the versions it was made with; never this project itself."""
    pinned = {"mlflow": library_version("mlflow"), "pandas": library_version("pandas")} | installed_versions(quantizer.packages)
    return [f"{name}=={version}" for name, version in pinned.items()]


def _metrics(saved: Path, coverage: Coverage) -> dict[str, float]:
    weights = [file for kind in ("*.safetensors", "*.onnx") for file in saved.glob(kind)]
    return {
        "model/bytes": float(sum(file.stat().st_size for file in weights)),
        "model/linears": float(coverage.total),
        "model/linears_quantized": float(coverage.quantized),
        "model/parameters": float(coverage.parameters_total),
        "model/parameters_covered": float(coverage.parameters_quantized),
    }


def _created(row: ModelRow, run_id: str, model_id: str, tags: Mapping[str, str], page: str) -> VersionCard:
    """Create the version with tags and description in one call; then the logged model's link back to it, which only the UI reads."""
    client = MlflowClient()
    _describe(client, row)
    made = client.create_model_version(row.name, f"{PREFIX}{model_id}", run_id, tags=dict(tags), description=page, model_id=model_id)
    version = _only(client, made, tags)
    if version.source == made.source:
        link_version(client, version)
    return card_of(version)


def _only(client: MlflowClient, made: ModelVersion, tags: Mapping[str, str]) -> ModelVersion:
    """`made`, or the version of the same content that was there before it: then `made` is taken away again.

    MLflow's client repeats a request whose answer was lost, and so creates a version twice; two registrations at once do it as well.
    MLflow counts versions one by one, so of two that look at the same time the later one sees the earlier.
    """
    same = {name: tags[name] for name in ("qbias.content", "qbias.baseline_version")}.items()
    for other in versions_of(made.name):
        if int(other.version) < int(made.version) and other.status == "READY" and same <= other.tags.items() and not copied_from(other):
            try:
                client.delete_model_version(made.name, made.version)
            except MlflowException as error:
                # Who may not delete leaves both: of equal contents only the newest is looked at. One that is gone was deleted already.
                return other if error.error_code == "RESOURCE_DOES_NOT_EXIST" else made
            return other
    return made


def _describe(client: MlflowClient, row: ModelRow) -> None:
    """The registered model with its page: created, filled if empty, renewed if it is ours; what a person wrote is left alone."""
    page = model_description(row)
    tag = bytes_digest(page.encode())
    try:
        client.create_registered_model(row.name, tags={DESCRIPTION_TAG: tag}, description=page)
        return
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model = client.get_registered_model(row.name)
    # The history above it is not part of what was written here, and stays.
    shown, history = without_section(model.description or ""), section_of(model.description or "")
    ours = not shown or bytes_digest(shown.encode()) == model.tags.get(DESCRIPTION_TAG)
    if ours and shown != page:
        client.update_registered_model(row.name, with_section(page, history) if history else page)
        client.set_registered_model_tag(row.name, DESCRIPTION_TAG, tag)
