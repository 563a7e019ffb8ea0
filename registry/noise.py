"""A/A arms on an MLflow store: runs of kind `noise`, written beside the evaluation that they repeat and read back with it.

Their kind keeps them apart: neither the comparison of versions nor the gate ever takes one for an evaluation.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow import MlflowClient, MlflowException
from mlflow.entities import Run

from qbias.arms import Arm, ArmPair
from qbias.digests import file_digest, mapping_digest
from qbias.environment import machine_facts
from qbias.measure import measure
from qbias.outcomes import RECORD, write_outcomes
from qbias.records import Evaluation, Outcomes
from registry.cards import VersionCard
from registry.evaluations import KEY, Problem, evaluation_of
from registry.runs import runs_of_kind

KIND, ARM, BASE = "noise", "qbias.arm", "qbias.base_key"


def log_arm(arm: Arm, outcomes: Mapping[str, Outcomes], tags: Mapping[str, str]) -> int:
    """Write what an arm measured to the active run; how many metrics.

    Parameters
    ----------
    arm : a row of ARMS. outcomes : by benchmark, as qbias.arms.arm_outcomes gives them. tags : those of the evaluation that is repeated.
    """
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / "outcomes" / name for name in outcomes}
        for name, place in places.items():
            write_outcomes(outcomes[name], place)
        digest = mapping_digest({name: file_digest(place / RECORD) for name, place in places.items()})
        mlflow.log_artifacts(folder)
    metrics = {row.name: row.value for found in outcomes.values() for row in measure(found)[0]}
    mlflow.log_metrics(metrics)
    base = tags[KEY]
    own = {ARM: arm.name, BASE: base, KEY: arm.key(base), "qbias.machine": json.dumps(machine_facts(), sort_keys=True)}
    stored = {"qbias.benchmarks": ",".join(outcomes), "qbias.outcomes_digest": digest, "qbias.kind": KIND}
    mlflow.set_tags({**tags, **own, **stored})
    return len(metrics)


def noise_pairs(cards: Sequence[VersionCard], evaluations: Sequence[Evaluation]) -> tuple[list[ArmPair], list[Problem]]:
    """Each evaluation beside the latest finished run of each arm that repeats exactly it (content, data, protocol and machine).

    Parameters
    ----------
    cards : the versions. evaluations : their evaluations, from registry.evidence.

    Returns
    -------
    Pairs in the order of `evaluations`, and a problem for each arm's run that cannot be read.
    """
    runs: dict[tuple[str, str], dict[str, Run]] = {}
    for run in runs_of_kind(KIND):
        tags = run.data.tags
        runs.setdefault((tags.get("qbias.model", ""), tags.get(BASE, "")), {}).setdefault(tags.get(ARM, ""), run)
    card_of = {(card.name, card.version): card for card in cards}
    pairs: list[ArmPair] = []
    problems: list[Problem] = []
    for base in evaluations if runs else ():
        for arm, run in runs.get((base.model, _key(base)), {}).items():
            try:
                pairs.append(ArmPair(arm, base, evaluation_of(run, card_of[base.model, base.version])))
            except (ValueError, KeyError, TypeError, OSError, MlflowException) as error:
                problems.append(Problem(base.model, base.version, run.info.run_id, f"its noise arm ({arm}) cannot be used: {error}"))
    return pairs, problems


def _key(evaluation: Evaluation) -> str:
    """The content key of an evaluation's run; one that has none has no arms."""
    return str(MlflowClient().get_run(evaluation.run_id).data.tags.get(KEY, "none"))
