"""What a person sees on MLflow's pages in a real browser: metrics side by side, the report, verdict and history; names stay text."""

import json
from urllib.parse import quote

import pytest
from mlflow import MlflowClient, MlflowException

from tests.browser import browser
from tests.flow import IMAGE, SCRIPT
from tests.server import call, runs


@pytest.fixture(scope="module")
def promoted(team, work, tiny, tmp_path_factory):
    """A model, a reviewer, classes and a group that are named like scripts: registered, evaluated, compared, approved and promoted."""
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        with team.acting("registrar"):
            work.prepare(IMAGE, tiny)
        with team.acting("second"):
            assert work.review(IMAGE, reviewer=SCRIPT) == 0
        with team.acting("promoter"):
            assert work.promote(IMAGE) == 0
        with team.acting("registrar"):
            found = {kind: runs(kind, model=IMAGE)[0] for kind in ("evaluation", "review", "promotion")}
            # Over three of the images, so that no figure is the same.
            assert call("evaluate", "--model", f"models:/{IMAGE}/2", "--benchmarks", work.benchmark, "--limit", 3) == 0
            return found | {"comparison": runs("comparison")[0], "limited": runs("evaluation", model=IMAGE)[0]}


@pytest.fixture(scope="module")
def seen(team, promoted):
    """A browser of somebody who may read everything and write nothing."""
    with browser(team, "stranger") as browsed:
        yield browsed


@pytest.fixture
def page(seen):
    """The same; whatever a test opens, no script of ours may have run."""
    yield seen
    assert seen.alerts == []


def place(run, *more):
    return "/".join(["experiments", run.info.experiment_id, "runs", run.info.run_id, *more])


def test_the_browser_notices_a_script(seen):
    """Else the tests below could not fail."""
    seen.page.set_content(f"<p>before</p>{IMAGE}")
    seen.page.wait_for_function("document.images[0].complete")
    seen.page.evaluate("alert('evaluated')")
    assert seen.alerts == ["1", "evaluated"]
    seen.alerts.clear()


def test_the_comparison_of_runs_shows_the_metrics_side_by_side(page, promoted):
    ours = [promoted["evaluation"], promoted["limited"]]
    chosen = f"runs={json.dumps([run.info.run_id for run in ours])}&experiments={json.dumps([ours[0].info.experiment_id])}"
    page.open(f"compare-runs?{chosen}", "Comparing 2 Runs", "tools/size/worst_group_accuracy_at_1")
    for name in ("tools/accuracy_at_1", "tools/size/worst_group_accuracy_at_1"):
        values = [run.data.metrics[name] for run in ours]
        assert values[0] != values[1]
        assert [float(text) for text in page.beside(name)] == pytest.approx(values, abs=1e-3)


def test_the_report_opens_as_an_artifact_and_shows_names_as_text(page, promoted):
    run = promoted["comparison"]
    page.open(place(run, "artifacts", "report", "report.html"), "report/report.html")
    frame = page.frame("Quantized CLIP models beside their baselines")
    text = frame.locator("body").inner_text()
    assert IMAGE in text
    assert SCRIPT in text
    assert not [script for script in frame.locator("script").all() if "alert" in (script.text_content() or "")]


def test_tables_and_pages_of_runs_show_names_as_text(page, promoted):
    run = promoted["evaluation"]
    assert SCRIPT in page.open(place(run, "artifacts", "outcomes", "tools", "classes.csv"), SCRIPT)
    page.open(place(run), "tools/accuracy_at_1", IMAGE)
    page.open(place(promoted["review"]), SCRIPT)
    page.open(place(promoted["comparison"]), "comparison/pairs")


def test_the_models_page_shows_the_history(page, promoted):
    text = page.open(f"models/{quote(IMAGE)}-prod", "History", "promotion of champion", "@ champion")
    assert SCRIPT in text
    assert text.index("promotion of champion") < text.index("approved: version 2"), "newest first"


def test_the_versions_page_shows_the_verdict(page, promoted):
    text = page.open(f"models/{quote(IMAGE)}-prod/versions/1", "Gate:", "Report of the comparison")
    assert f"seen: {SCRIPT}" in text
    assert "tools/accuracy_at_1" in text
    link = page.page.get_by_text("Report of the comparison").get_attribute("href") or ""
    assert promoted["comparison"].info.run_id in link
    page.open(link.removeprefix("#/"), "report/report.html")
    page.frame("Quantized CLIP models beside their baselines")


def test_lists_of_models_runs_and_experiments_show_names_as_text(page, promoted):
    assert f"{IMAGE}-prod" in page.open("models", IMAGE)
    page.open(f"experiments/{promoted['evaluation'].info.experiment_id}/runs", "evaluate")


def test_mlflow_takes_no_model_name_with_a_slash(team):
    with team.acting("registrar"), pytest.raises(MlflowException, match="Names cannot contain"):
        MlflowClient().create_registered_model(SCRIPT)
