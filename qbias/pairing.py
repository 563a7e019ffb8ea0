"""Pairing by content: each quantized evaluation beside its own baseline's, or a refusal that lists every fact in which they differ.

A difference between two numbers is a change of the model only if all else was equal: images and their order, prompts, protocol and
machine. Nothing here judges a result.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from qbias.digests import json_digest
from qbias.environment import LIBRARIES
from qbias.records import Evaluation, Outcomes, Pairing, Refusal

MACHINE_FACTS = ("device", "device_name", "cuda", "cpu_capability", "cpu_bfloat16", "quantized_engine", "threads", *LIBRARIES)
"""Facts about the machine that can change a number (protocol); others, such as a host's name, do not hinder a pair."""
ABSENT = "not recorded"
Difference = tuple[str, str, str]
Version = tuple[str, str]


def pair(evaluations: Sequence[Evaluation]) -> tuple[list[Pairing], list[Refusal]]:
    """Every evaluation of a quantized version beside the evaluation of its own baseline version.

    Of a version evaluated several times with equal outcomes the last one counts; with different outcomes it is refused, as is
    every version whose baseline was evaluated so.

    Parameters
    ----------
    evaluations : finished evaluations, oldest first. A baseline is one whose version is its own baseline version.

    Returns
    -------
    Pairings and refusals, each in the order in which the versions first appear; each quantized version is in exactly one of them.
    """
    by_version: dict[Version, list[Evaluation]] = {}
    for evaluation in evaluations:
        by_version.setdefault((evaluation.model, evaluation.version), []).append(evaluation)
    pairings: list[Pairing] = []
    refusals: list[Refusal] = []
    for found in by_version.values():
        candidate = found[-1]
        if is_baseline(candidate):
            continue
        baselines = by_version.get((candidate.model, candidate.baseline_version), [])
        differing = _several(found, baselines) or _differing(candidate, baselines)
        if differing:
            refusals.append(Refusal(candidate.model, candidate.quantizer, candidate.version, tuple(differing)))
        else:
            pairings.append(Pairing(baselines[-1], candidate))
    return pairings, refusals


def is_baseline(evaluation: Evaluation) -> bool:
    """Whether this is the evaluation of a baseline: its version is its own baseline version."""
    return evaluation.version == evaluation.baseline_version


def differences(baseline: Evaluation, candidate: Evaluation) -> list[Difference]:
    """Every fact that must be equal on both sides of a pair and is not: (fact, baseline's, candidate's). Empty: they can be paired.

    Parameters
    ----------
    baseline, candidate : evaluations of two versions of one model.
    """
    found: list[Difference] = []
    if set(baseline.outcomes) != set(candidate.outcomes):
        found.append(("benchmarks", _names(baseline.outcomes), _names(candidate.outcomes)))
    for name in sorted(set(baseline.outcomes) & set(candidate.outcomes)):
        found += _benchmark_differences(name, baseline.outcomes[name], candidate.outcomes[name])
    return found + _unequal("machine", baseline.machine, candidate.machine, MACHINE_FACTS)


def _benchmark_differences(name: str, baseline: Outcomes, candidate: Outcomes) -> list[Difference]:
    first, second = _conditions(baseline), _conditions(candidate)
    found = _unequal(name, first, second, tuple(first))
    if baseline.protocol_digest != candidate.protocol_digest:
        parameters = sorted(set(baseline.protocol) | set(candidate.protocol))
        found += _unequal(f"{name}: protocol", baseline.protocol, candidate.protocol, parameters)
    return found


def _conditions(outcomes: Outcomes) -> dict[str, str]:
    return {
        "dataset digest": outcomes.dataset_digest,
        "prompts sha256": outcomes.prompts_sha256,
        "protocol digest": outcomes.protocol_digest,
        "image ids": _ids(outcomes),
    }


def _unequal(what: str, baseline: Mapping[str, object], candidate: Mapping[str, object], facts: Sequence[str]) -> list[Difference]:
    sides = [(fact, str(baseline.get(fact, ABSENT)), str(candidate.get(fact, ABSENT))) for fact in facts]
    return [(f"{what}: {fact}", first, second) for fact, first, second in sides if first != second]


def _ids(outcomes: Outcomes) -> str:
    """The image ids in their order, as a count and a digest short enough to read."""
    ids = outcomes.frames["images"]["id"].astype(str).tolist()
    return f"{len(ids)} images, sha256 of the ordered ids {json_digest(ids)[:16]}"


def _names(outcomes: Mapping[str, Outcomes]) -> str:
    return ", ".join(sorted(outcomes)) or "none"


def _differing(candidate: Evaluation, baselines: Sequence[Evaluation]) -> list[Difference]:
    """Why this candidate cannot be paired with the last of `baselines`, if for any reason."""
    if not baselines:
        wanted = f"no evaluation of version {candidate.baseline_version}"
        return [("baseline evaluation", wanted, f"run {candidate.run_id}")]
    baseline = baselines[-1]
    if not is_baseline(baseline):
        own = f"version {baseline.version} is a quantized version of version {baseline.baseline_version}"
        return [("baseline version", own, f"version {candidate.baseline_version}")]
    return differences(baseline, candidate)


def _several(candidates: Sequence[Evaluation], baselines: Sequence[Evaluation]) -> list[Difference]:
    """The one difference there is to report where a side was evaluated more than once with different outcomes."""
    sides = {"baseline": _unlike(baselines), "candidate": _unlike(candidates)}
    unlike = [f"{side} ({', '.join(benchmarks)})" for side, benchmarks in sides.items() if benchmarks]
    if not unlike:
        return []
    fact = f"evaluated more than once with different outcomes: {' and '.join(unlike)}"
    return [(fact, _runs(baselines), _runs(candidates))]


def _unlike(evaluations: Sequence[Evaluation]) -> list[str]:
    """Benchmarks whose outcomes are not the same in all of these evaluations of one version."""
    names = sorted({name for evaluation in evaluations for name in evaluation.outcomes})
    return [name for name in names if not _alike([evaluation.outcomes.get(name) for evaluation in evaluations])]


def _alike(outcomes: Sequence[Outcomes | None]) -> bool:
    first, *others = outcomes
    return all(_same(first, other) for other in others)


def _same(first: Outcomes | None, second: Outcomes | None) -> bool:
    if first is None or second is None:
        return first is second
    facts = [(row.dataset_digest, row.prompts_sha256, row.protocol_digest, set(row.frames)) for row in (first, second)]
    return facts[0] == facts[1] and all(_equal_frames(frame, second.frames[name]) for name, frame in first.frames.items())


def _equal_frames(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    return first is second or first.reset_index(drop=True).equals(second.reset_index(drop=True))


def _runs(evaluations: Sequence[Evaluation]) -> str:
    return ", ".join(f"run {evaluation.run_id}" for evaluation in evaluations) or "none"
