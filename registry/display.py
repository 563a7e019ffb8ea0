"""What MLflow's own pages show of the records: tags and Markdown sections, written where the user has the right to, and never trusted."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mlflow import MlflowClient, MlflowException

from registry.chain import Record
from registry.descriptions import production_description
from registry.gate import GateResult
from registry.pages import history_section, run_link, version_section, with_section
from registry.production import registered

REPORT_PAGE = "report/report.html"


def show_version(
    name: str, version: str, tags: Mapping[str, str], *, result: GateResult, reviews: Sequence[Record], comparison: str
) -> list[str]:
    """Tags and review section of a version.

    Parameters
    ----------
    name, version : which one. tags : without their prefix `qbias.`. result : the gate's. reviews : the decisions on the version.
    comparison : run id of the comparison, "" for none.

    Returns
    -------
    A note for what this user may not edit; none if all was written.
    """
    section = version_section(result, reviews, _report(comparison))
    return permitted(f"the page of {name} version {version}", partial(_write_version, name, version, dict(tags), section))


def show_model(name: str, records: Sequence[Record]) -> list[str]:
    """The history of a registered model, newest first, on its page; nothing where there is no such model. Returns as `show_version`."""
    # The production model is made by a promotion, or empty by an administrator: what it is stands there from then on.
    first = production_description(records[0].model) if records and records[0].model != name else ""
    return permitted(f"the page of {name}", partial(_write_model, name, history_section(records), first))


def permitted(what: str, step: Callable[[], None]) -> list[str]:
    """Do it; where MLflow denies this user the right, say so instead."""
    try:
        step()
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        return [f"{what} is not updated: this user may not edit it. The record stands without it"]
    return []


def _write_version(name: str, version: str, tags: Mapping[str, str], section: str) -> None:
    client = MlflowClient()
    shown = client.get_model_version(name, version)
    for tag, value in tags.items():
        if shown.tags.get(f"qbias.{tag}") != value:
            client.set_model_version_tag(name, version, f"qbias.{tag}", value)
    page = with_section(shown.description or "", section)
    if page != shown.description:
        client.update_model_version(name, version, page)


def _write_model(name: str, section: str, first: str) -> None:
    shown = registered(name)
    if shown is None:
        return
    page = with_section(shown.description or first, section)
    if page != shown.description:
        MlflowClient().update_registered_model(name, page)


def _report(comparison: str) -> str:
    if not comparison:
        return ""
    return run_link(MlflowClient().get_run(comparison).info.experiment_id, comparison, REPORT_PAGE)
