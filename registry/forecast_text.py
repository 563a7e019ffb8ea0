"""A forecast in words: scenarios, images, bytes, time, what is there already, and what `main` would do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qbias.cache import in_words
from qbias.decode import THREADS
from qbias.forecast import Pace, decoding_seconds, in_time
from qbias.model_rows import ModelRow
from qbias.pixel_store import StoredPixels
from qbias.plan import Plan
from qbias.quantizers import Quantizer
from qbias.quantizers.torch_encoder import empty_clip
from registry.cards import VersionCard
from registry.forecast import Scenario, Work, arm_work, evaluation_work, paces, scenarios, wanted_arms
from registry.runs import finished_arm, finished_evaluation


@dataclass(frozen=True)
class Study:
    """What a study asks for.

    Attributes
    ----------
    noise : as main takes it. workers : batches that are computed at a time. key : the content key of a version's evaluation.
    """

    rows: Sequence[ModelRow]
    quantizers: Sequence[Quantizer]
    plan: Plan
    noise: str
    workers: int
    key: Callable[[VersionCard], str]


def forecast(study: Study, *, report: Callable[[str], None]) -> str:
    """What the study would do and take. Only reads: call it within qbias.forecast.untouched_cache.

    Parameters
    ----------
    report : called with a line before each measurement.
    """
    found = scenarios(study.rows, study.quantizers)
    evaluations = [scenario for scenario in found if not (scenario.card and finished_evaluation(study.key(scenario.card)))]
    wanted = wanted_arms(found, study.noise)
    arms = [(scenario, arm) for scenario, arm in wanted if not (scenario.card and finished_arm(arm.key(study.key(scenario.card))))]
    steps = [evaluation_work(scenario, study.plan) for scenario in evaluations]
    steps += [arm_work(scenario, arm, study.plan) for scenario, arm in arms]
    work = [step for step in steps if step]
    resolutions = sorted({step.scenario.shape.preprocessing.resolution for step in work if step.scenario.shape})
    pixels, decoding = pixel_lines(study.plan, resolutions)
    known = paces(work, study.plan.protocol.batch_size, report=report)
    new = [scenario for scenario in found if scenario.card is None]
    datasets = study.plan.datasets()
    images = ", ".join(f"{dataset.benchmark} {len(dataset.images):,}" for dataset in datasets)
    return "\n".join(
        [
            "dry run: nothing was changed, and this is what the same command without dry_run would do",
            f"scenarios: {len(found)} (models: {len(study.rows)}, precisions: {len({scenario.quantizer.name for scenario in found})}), "
            f"arms of noise: {len(wanted)}",
            f"images: {sum(len(dataset.images) for dataset in datasets):,} ({images}) for each scenario",
            "pixels:" if pixels else "pixels: none are needed",
            *pixels,
            f"embeddings: {in_words(embedding_bytes(work, study.plan))} to be computed and stored, in {_batches(work)}",
            f"weights: {in_words(weight_bytes(new))} of new versions, about" if new else "weights: no new version",
            time_line(work, known, decoding, study.workers),
            f"already there: {len(found) - len(new)} versions, {len(found) - len(evaluations)} evaluations, {len(wanted) - len(arms)} arms",
            f"to do: register {len(new)}, evaluate {len(evaluations)}, measure {len(arms)} arms, then compare what has changed",
            *_unknown(found),
        ]
    )


def _batches(work: Sequence[Work]) -> str:
    return f"{sum(step.missing.images for step in work):,} batches of images and {sum(step.missing.texts for step in work):,} of texts"


def _unknown(found: Sequence[Scenario]) -> list[str]:
    """What cannot be told, because its weights are not here."""
    absent = dict.fromkeys(scenario.row.name for scenario in found if scenario.folder is None)
    unknown = dict.fromkeys(scenario.row.name for scenario in found if scenario.shape is None)
    lines = [f"not on this machine, to be downloaded first: the weights of {', '.join(absent)}"] if absent else []
    return lines + ([f"not in the numbers above, because nothing is known of them yet: {', '.join(unknown)}"] if unknown else [])


def pixel_lines(plan: Plan, resolutions: Sequence[int]) -> tuple[list[str], float]:
    """A line for each dataset and resolution, and the seconds that decoding will take."""
    lines, seconds = [], 0.0
    for resolution in resolutions:
        for dataset in plan.datasets():
            stored = StoredPixels(dataset, resolution)
            whole, missing = stored.shape[0] * resolution * resolution * 3, stored.bytes_missing
            if missing and whole:
                seconds += decoding_seconds(dataset, resolution) * len(dataset.images) * min(1.0, missing / whole) / THREADS
            state = f"{in_words(missing)} to be stored" if missing else "stored already"
            lines.append(f"  {dataset.benchmark} at {resolution} x {resolution}: {in_words(whole)}, {state}")
    return lines, seconds


def embedding_bytes(work: Sequence[Work], plan: Plan) -> int:
    """Bytes of the rows that are still to be computed, about (a last batch may be shorter)."""
    total = 0
    for step in work:
        assert step.scenario.shape is not None
        size = (step.arm.protocol(plan.protocol) if step.arm else plan.protocol).batch_size
        total += (step.missing.images + step.missing.texts) * size * step.scenario.shape.width * 4
    return total


def weight_bytes(found: Sequence[Scenario]) -> int:
    """Bytes of the versions that are still to be made, about: the baseline's, in the precision's bits."""
    sizes: dict[Path, int] = {}
    total = 0.0
    for scenario in found:
        if scenario.card is None and (folder := scenario.folder):
            sizes.setdefault(folder, _parameters(folder))
            total += sizes[folder] * scenario.quantizer.bits / 8
    return int(total)


def _parameters(folder: Path) -> int:
    return sum(parameter.numel() for parameter in empty_clip(folder).parameters())


def time_line(work: Sequence[Work], known: Mapping[tuple[str, str], Pace], decoding: float, workers: int) -> str:
    """How long it will take, and on what the number stands."""
    seconds = 0.0
    for step in work:
        if step.scenario.kind in known:
            # A batch of half the images takes about half the time.
            share = 0.5 if step.arm and step.arm.other_size else 1.0
            seconds += known[step.scenario.kind].seconds(step.missing) * share
    return (
        f"time: about {in_time(decoding + seconds / workers)} ({in_time(decoding)} to decode, {in_time(seconds)} of batches, {workers} at "
        "once), from one batch of each kind just now; making versions, statistics and logging come on top"
    )
