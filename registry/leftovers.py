"""What a killed process leaves in the tracking store, put in order by the next one on the same machine.

A process that is killed cannot end its runs: they would be RUNNING for ever. Each run names its process in a tag, so whoever comes next
can tell. A registration that got as far as its version, its last step, is finished; of any other, the run is closed as KILLED and the
logged model that no version uses is deleted. Runs of other machines are left alone: from here nobody can say whether they live.
"""

import json
from collections.abc import Iterator

from mlflow import MlflowClient, MlflowException
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from registry.process import alive
from registry.runs import running_runs

ERROR = "qbias.error"
KILLED = "the process ended without a word; what had finished is kept, and the same command goes on from there"


def close_leftovers() -> list[str]:
    """Put in order what killed processes of this machine left; one sentence for each run that was closed."""
    client = MlflowClient()
    said = []
    for run in list(running_runs()):
        if alive(run.data.tags) is not False:
            continue
        try:
            said.append(_closed(client, run))
        except MlflowException as error:  # another process may be closing it at this moment, or it is somebody else's
            said.append(f"run {run.info.run_id} of a process that is gone could not be closed: {error.message}")
    return said


def _closed(client: MlflowClient, run: Run) -> str:
    """Finish a registration whose version exists; close any other run and delete what no version uses."""
    run_id, name = run.info.run_id, run.info.run_name
    made = run.data.tags.get("qbias.kind") == "registration"
    if made and (found := list(_versions(client, run))):
        link_version(client, found[0])
        client.set_terminated(run_id, "FINISHED")
        return f"run {run_id} ({name}) had registered its version before its process was killed: it is finished"
    if made:
        for model in client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run_id}'"):
            client.delete_logged_model(model.model_id)
    client.set_tag(run_id, ERROR, KILLED)
    client.set_terminated(run_id, "KILLED")
    return f"run {run_id} ({name}) was left by a process that was killed: it is closed"


def link_version(client: MlflowClient, version: ModelVersion) -> None:
    """The logged model's link to its version, which only the UI reads."""
    model_id = version.model_id or str(version.source).removeprefix("models:/")
    link = json.dumps([{"name": version.name, "version": version.version}])
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: link})


def _versions(client: MlflowClient, run: Run) -> Iterator[ModelVersion]:
    """The versions that a registration run made."""
    name = run.data.tags.get("qbias.model", "").replace("'", "''")
    return (row for row in client.search_model_versions(f"name='{name}'") if row.run_id == run.info.run_id)
