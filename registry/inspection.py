"""A version that exists, measured again on this machine: its stored weights beside its baseline version's."""

import tempfile
from pathlib import Path

import mlflow
from mlflow.artifacts import download_artifacts

from qbias.audit import Audit, audit_of
from qbias.pyfunc import ARTIFACT
from registry.cards import PREFIX, VersionCard, version_card

FOLDER = "audit"
"""Where the files of an inspection lie among a run's artifacts; `register` writes the same ones."""


def inspection(card: VersionCard) -> Audit:
    """Measure a version on this machine; log its numbers, tags and files on the active run.

    The weights are those of the registry, checked against the digests written with them. A baseline is measured beside itself.

    Parameters
    ----------
    card : the version.

    Raises
    ------
    ValueError
        If the baseline's version does not exist, a file was changed, or the quantizer cannot run here.
    """
    own = card.baseline_version == card.version
    base = card if own else version_card(f"{PREFIX}{card.name}/{card.baseline_version}")
    with tempfile.TemporaryDirectory(prefix="qbias-") as scratch:
        saved = version_folder(card, Path(scratch) / "candidate")
        baseline = saved if own else version_folder(base, Path(scratch) / "baseline")
        found = audit_of(baseline, saved)
        found.write(Path(scratch) / FOLDER)
        mlflow.log_artifacts(str(Path(scratch) / FOLDER), FOLDER)
    mlflow.log_metrics(dict(found.metrics))
    mlflow.set_tags({
        "qbias.kind": "inspection",
        "qbias.model": card.name,
        "qbias.version": card.version,
        "qbias.quantizer": card.quantizer,
        "qbias.baseline_version": card.baseline_version,
        "qbias.weights_sha256": card.weights_sha256,
    })  # fmt: skip
    return found


def version_folder(card: VersionCard, folder: Path) -> Path:
    """A copy below `folder` of the model folder that a version holds."""
    folder.mkdir(parents=True)
    return Path(download_artifacts(artifact_uri=f"{PREFIX}{card.name}/{card.version}/artifacts/{ARTIFACT}", dst_path=str(folder)))
