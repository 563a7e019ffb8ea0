"""The files of a registered version, read where MLflow keeps them: what is served, not what the tags say."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow import MlflowClient, MlflowException
from mlflow.artifacts import download_artifacts

from qbias.digests import folder_digests, mapping_digest
from qbias.pyfunc import ARTIFACT
from qbias.quantizers import weights_sha256
from registry.cards import VersionCard

META, BYTECODE = "registered_model_meta", "__pycache__"
"""What loading a version writes beside its files in a local store: not part of what was registered."""


@dataclass(frozen=True)
class VersionFiles:
    """Digests of a version's files: `weights_sha256` as `register` computes it, `files_sha256` over every file, code and tokenizer too."""

    weights_sha256: str
    files_sha256: str


def weights_of(card: VersionCard) -> str:
    """The weights' sha256, computed anew from the version's files. Raises as `files_of`."""
    return files_of(card.name, card.version).weights_sha256


def files_of(name: str, version: str) -> VersionFiles:
    """Digests of the files that a version gives to whoever loads it, computed anew.

    Raises
    ------
    ValueError
        If the files are gone, or cannot be read.
    """
    try:
        uri = str(MlflowClient().get_model_version_download_uri(name, version))
        with _files_at(uri) as folder:
            digests = {path: digest for path, digest in folder_digests(folder).items() if not _left_by_loading(path)}
            return VersionFiles(weights_sha256(folder / "artifacts" / ARTIFACT), mapping_digest(digests))
    except (MlflowException, OSError, ValueError) as error:
        raise ValueError(f"the files of {name} version {version} cannot be read: {error}") from error


def _left_by_loading(path: str) -> bool:
    return path == META or BYTECODE in path.split("/")


@contextmanager
def _files_at(uri: str) -> Iterator[Path]:
    """The folder at a storage location: in place on this machine, else a passing copy."""
    place = urlparse(uri)
    if place.scheme in ("", "file"):
        yield Path(url2pathname(place.path))
        return
    with tempfile.TemporaryDirectory(prefix="qbias-") as passing:
        yield Path(download_artifacts(artifact_uri=uri, dst_path=passing))
