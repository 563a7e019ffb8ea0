"""Outcomes that could not be logged, kept in the cache until the same command logs them: the model need not run again, not even be read.

They lie under a digest of all that they depend on, so that nothing else is ever taken for them. Only our own models' are kept: nobody can
say what another's depend on.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qbias.digests import json_digest
from qbias.environment import machine_facts
from qbias.protocol import Protocol
from qbias.records import Dataset, Insufficient, Measured
from qbias.store import cache_root, whole_folder
from qbias.streamed import measure_stored

LOG = logging.getLogger(__name__)


def place_of(artifact: str, dataset: Dataset, protocol: Protocol, *, format: int) -> Path:
    """Where the outcomes of a model on a benchmark are kept.

    Parameters
    ----------
    artifact : digest of what the model is made of. dataset, protocol : what it is measured on, and how.
    format : number of the form in which outcomes are computed and written; those of another are not found.
    """
    facts = {
        "artifact": artifact,
        "dataset": [dataset.benchmark, dataset.digest, dataset.prompts_sha256],
        "protocol": protocol.digest(),
        "machine": machine_facts(),
        "format": format,
    }
    return cache_root() / "unlogged" / json_digest(facts)


def recovered(kept: Path, place: Path) -> tuple[list[Measured], list[Insufficient]] | None:
    """Copy outcomes that an earlier run could not log to `place`; what they measure, or None where there are none.

    Parameters
    ----------
    kept : from `place_of`. place : a folder that does not exist. Nothing is there afterwards where the kept files were damaged.
    """
    if not kept.is_dir():
        return None
    try:
        shutil.copytree(kept, place)
        found = measure_stored(place)
    except (OSError, ValueError) as error:
        LOG.warning("the outcomes that an earlier run could not log are damaged (%s) and are made again", error)
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)
        return None
    LOG.info("the outcomes are there from an earlier run, which could not log them")
    return found


@contextmanager
def logging_outcomes(place: Path, kept: Path | None) -> Iterator[None]:
    """Within the block the outcomes in `place` are logged: where that fails they are kept, afterwards nothing is kept any more.

    Parameters
    ----------
    kept : from `place_of`; None where they are of another's model.
    """
    try:
        yield
    except Exception:
        if kept is not None:
            _keep(place, kept)
        raise
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)


def _keep(place: Path, kept: Path) -> None:
    try:
        with whole_folder(kept) as beside:
            shutil.copytree(place, beside, dirs_exist_ok=True)
    except OSError as error:
        # The run fails for the reason that its outcomes could not be logged; the embeddings are there still.
        LOG.warning("the outcomes that could not be logged cannot be kept in %s either: %s", cache_root(), error)
    else:
        LOG.warning("the outcomes could not be logged; they are kept in %s, and the same command logs them", kept)
