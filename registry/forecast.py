"""What `main` would do and what it would take, found by reading alone: `dry_run=true`.

Registered versions are looked up as `main` looks them up; of those that are still to be made, one of each size and precision is made in a
scratch folder, because how long a batch takes cannot be told otherwise.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.artifacts import download_artifacts

from qbias.arms import Arm, arms_of
from qbias.arms import missing as missing_of_arm
from qbias.batch_size import out_of_memory
from qbias.checkpoints import Unreachable
from qbias.digests import file_digest, folder_digests
from qbias.encoder import Encoder, Preprocessing
from qbias.forecast import Batches, Pace, pace
from qbias.model_rows import ModelRow
from qbias.plan import Plan
from qbias.preprocess import read_preprocessing
from qbias.pyfunc import ARTIFACT
from qbias.quantizers import QUANTIZERS, Quantizer, load_encoder
from qbias.quantizers.artifact import CARD, CONFIG
from qbias.subject import Subject
from registry.cards import SELF, VersionCard, cards_of
from registry.versions import content_digest

WIDTH = "projection_dim"


@dataclass(frozen=True)
class Shape:
    """What of an Encoder the stores ask for, known without its weights."""

    preprocessing: Preprocessing
    width: int

    def images(self, pixel_NRR3: Any) -> Any:
        """Never: nothing is embedded here."""
        raise AssertionError("a forecast embeds nothing")

    texts = images


@dataclass(frozen=True)
class Scenario:
    """One model in one precision.

    Attributes
    ----------
    card : its version, or None where it is still to be made. folder : the baseline's files, or None where they are not on this machine.
    shape : None where neither is there.
    """

    row: ModelRow
    quantizer: Quantizer
    card: VersionCard | None
    folder: Path | None
    shape: Shape | None
    artifact: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """Scenarios of one kind take equally long."""
        return self.row.size, self.quantizer.name


def scenarios(rows: Sequence[ModelRow], quantizers: Sequence[Quantizer]) -> list[Scenario]:
    """Every model in every precision, with its version where it is registered.

    Where a baseline's files are not on this machine, its newest versions are taken to be those that `main` would find.
    """
    return [scenario for row in rows for scenario in _of_model(row, quantizers)]


def _of_model(row: ModelRow, quantizers: Sequence[Quantizer]) -> Iterator[Scenario]:
    try:
        folder: Path | None = row.folder()
    except Unreachable:
        folder = None
    files = folder_digests(folder) if folder else {}
    existing, baseline = list(cards_of(row.name)), ""
    for quantizer in [QUANTIZERS["fp32"], *(one for one in quantizers if one.name != "fp32")]:
        found = [card for card in existing if card.quantizer == quantizer.name and baseline in ("", card.baseline_version)]
        if folder:
            content = content_digest(files, quantizer)
            found = [card for card in found if card.content == content]
        card = found[-1] if found else None
        # Versions beside a baseline that is still to be made are made anew with it.
        baseline = baseline or (card.version if card else SELF)
        shape, artifact = _registered_shape(card) if card else (_baseline_shape(folder), "")
        yield Scenario(row, quantizer, card, folder, shape, artifact)


def _baseline_shape(folder: Path | None) -> Shape | None:
    return _shape(folder) if folder else None


def _shape(folder: Path) -> Shape:
    return Shape(read_preprocessing(folder), int(json.loads((folder / CONFIG).read_text())[WIDTH]))


def _registered_shape(card: VersionCard) -> tuple[Shape, str]:
    """From three small files of the version's artifact."""
    with tempfile.TemporaryDirectory(prefix="qbias-") as scratch:
        names = (CARD, CONFIG, "preprocessor_config.json")
        files = [Path(download_artifacts(f"{card.uri}/artifacts/{ARTIFACT}/{name}", dst_path=scratch)) for name in names]
        return _shape(files[0].parent), file_digest(files[0])


@dataclass(frozen=True)
class Work:
    """A step that is still to be done: an evaluation, or an arm of one, and the batches that it lacks."""

    scenario: Scenario
    arm: Arm | None
    missing: Batches


def evaluation_work(scenario: Scenario, plan: Plan) -> Work | None:
    """The evaluation of a scenario that has not been evaluated; None where nothing is known of its shape."""
    if scenario.shape is None:
        return None
    if scenario.card is None:
        return Work(scenario, None, _all(plan))
    subject = Subject(scenario.row.name, _nothing, scenario.shape, scenario.artifact)
    found = [Batches(*subject.missing(dataset, plan.protocol)) for dataset in plan.datasets()]
    return Work(scenario, None, sum(found, Batches()))


def arm_work(scenario: Scenario, arm: Arm, plan: Plan) -> Work | None:
    """The same of an arm."""
    if scenario.shape is None:
        return None
    if scenario.card is None:
        every = _all(Plan(plan.benchmarks, plan.data, arm.protocol(plan.protocol), plan.on_bad_image))
        return Work(scenario, arm, every if arm.texts else Batches(every.images))
    return Work(scenario, arm, Batches(*missing_of_arm(arm, scenario.shape, scenario.artifact, plan)))


def _all(plan: Plan) -> Batches:
    size, found = plan.protocol.batch_size, Batches()
    for dataset in plan.datasets():
        found += Batches(-(-len(dataset.images) // size), -(-dataset.texts["text"].nunique() // size))
    return found


def _nothing(frame: object) -> Any:
    raise AssertionError("a forecast embeds nothing")


@contextmanager
def _encoder(scenario: Scenario) -> Iterator[Encoder]:
    """Its Encoder: the registered version's, or one that is made for this moment."""
    if scenario.card:
        yield mlflow.pyfunc.load_model(scenario.card.uri).unwrap_python_model().encoder
        return
    assert scenario.folder is not None
    with tempfile.TemporaryDirectory(prefix="qbias-") as scratch:
        scenario.quantizer.save(scenario.folder, Path(scratch) / ARTIFACT)
        yield load_encoder(Path(scratch) / ARTIFACT)


def paces(work: Sequence[Work], batch_size: int, *, report: Callable[[str], None]) -> dict[tuple[str, str], Pace]:
    """How long a batch takes, of each kind of scenario with something to compute; measured, one batch each.

    Raises
    ------
    ValueError
        If one batch does not fit in memory.
    """
    found: dict[tuple[str, str], Pace] = {}
    for step in work:
        if step.scenario.kind in found or step.missing == Batches():
            continue
        report(f"timing one batch: {step.scenario.row.name} {step.scenario.quantizer.name}")
        with _encoder(step.scenario) as encoder:
            try:
                found[step.scenario.kind] = pace(encoder, batch_size)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                raise ValueError(f"batch_size={batch_size} does not fit in memory ({error}): give a smaller one") from error
    return found


def wanted_arms(found: Sequence[Scenario], noise: str) -> list[tuple[Scenario, Arm]]:
    """The arms that `noise` asks for: `yes` of one model of each size, `all` of every model."""
    first = {scenario.kind: scenario for scenario in reversed(found)}
    wanted = [scenario for scenario in found if noise == "all" or (noise == "yes" and first[scenario.kind] is scenario)]
    return [(scenario, arm) for scenario in wanted for arm in arms_of(scenario.quantizer.name)]
