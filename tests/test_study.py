"""The whole study on one tiny model and the drawn world: main, then review and promote, as a user would call them."""

import argparse
import shutil
import signal
from collections import Counter
from importlib import import_module

import mlflow
import pytest
import yaml

from entrypoints.verb import ERROR_TAG, run_verb
from qbias.protocol import Protocol
from registry.versions import version_cards
from tests.conftest import copied_store, current_store
from tests.evidence_builder import artifact_file, plain_policy

VERBS = ("main", "register", "evaluate", "compare", "inspect", "review", "promote", "rollback", "audit")


@pytest.fixture(scope="module", autouse=True)
def own_signals():
    """The verbs take over Ctrl-C and SIGTERM; give them back to pytest."""
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


def call(verb, *words):
    """The verb as from the command line: exit code."""
    module = import_module(f"entrypoints.{verb}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [verb, *map(str, words)])
        return run_verb(verb, module.parser(), module.work)


def runs(kind=None):
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return [run for run in found if kind is None or run.data.tags.get("qbias.kind") == kind]


@pytest.fixture(scope="module")
def studied(empty_store, tmp_path_factory, tiny, world):
    """A store in which `main` has run once on one model in two precisions."""
    folder = tmp_path_factory.mktemp("study") / "store"
    with current_store(copied_store(empty_store, folder)):
        assert call("main", "--models", tiny, "--quantizers", "torch-int8", "--data", world) == 0
    return folder


@pytest.fixture
def study(studied, tmp_path):
    """A copy of that store for one test."""
    with current_store(copied_store(studied, tmp_path / "store")) as store:
        yield store


def test_main_makes_versions_evaluations_and_a_comparison_below_one_parent(study):
    assert Counter(run.data.tags.get("qbias.kind") for run in runs()) == {
        None: 1, "registration": 2, "evaluation": 2, "noise": 3, "comparison": 1,
    }  # fmt: skip
    (parent,) = [run for run in runs() if "qbias.kind" not in run.data.tags]
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs()} == {None, parent.info.run_id}
    assert {run.info.status for run in runs()} == {"FINISHED"}
    baseline, candidate = version_cards()
    assert (baseline.quantizer, candidate.quantizer) == ("fp32", "torch-int8")
    assert candidate.baseline_version == baseline.version == baseline.baseline_version


def test_the_comparison_holds_tables_figure_and_report(study):
    (run,) = runs("comparison")
    names = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "report")}
    assert {f"report/{name}" for name in ("report.html", "table1.csv", "table2.csv", "figure1.svg", "figure1.png")} < names
    page = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report/report.html")
    assert "at least three" in page
    assert run.data.tags["mlflow.note.content"]


def test_the_same_command_again_adds_nothing(study, tiny, world, capsys):
    before = {run.info.run_id for run in runs()}
    assert call("main", "--models", tiny, "--quantizers", "torch-int8", "--data", world) == 0
    added = [run for run in runs() if run.info.run_id not in before]
    assert len(added) == 1
    assert "qbias.kind" not in added[0].data.tags
    assert len(version_cards()) == 2
    assert capsys.readouterr().out.count("nothing changed") == 6


def test_a_batch_size_that_is_chosen_is_a_number_on_the_run_and_chosen_once(study, tiny, world, capsys):
    words = ("--models", tiny, "--quantizers", "torch-int8", "--data", world, "--benchmarks", "coco", "--limit", 20, "--noise", "no")
    before = {run.info.run_id for run in runs("evaluation")}
    for _ in range(2):
        assert call("main", *words, "--batch-size", "auto") == 0
    added = [run for run in runs("evaluation") if run.info.run_id not in before]
    assert len(added) == 2
    (chosen,) = {int(run.data.params["protocol.batch_size"]) for run in added}
    assert {run.data.tags["qbias.protocol_digest"] for run in added} == {Protocol(batch_size=chosen, limit=20).digest()}
    said = capsys.readouterr()
    assert said.out.count(f"batch_size=auto: {chosen}; results can depend on it") == 2
    assert said.err.count(f"batch_size=auto: {chosen} (8: ") == 1
    assert "as probed before" in said.err


def test_a_cache_limit_that_is_too_low_is_one_message(study, tiny, world, monkeypatch, capsys):
    monkeypatch.delenv("QBIAS_CACHE_LIMIT", raising=False)
    monkeypatch.setenv("QBIAS_CACHE", str(study.artifacts.parent / "another cache"))
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "none")
    words = ("--model", "models:/tiny/1", "--data", world, "--benchmarks", "coco", "--limit", 20)
    assert call("evaluate", *words, "--cache-limit", "100KB") == 1
    assert "the pixels of coco at 64 x 64 (20 images) need" in (said := capsys.readouterr().err)
    assert "cache_limit is 100.0 KB: raise it to at least" in said
    assert call("evaluate", *words, "--cache-limit", "1MB") == 0
    assert "the pixels of coco at 64 x 64 (20 images) take" in capsys.readouterr().err


def test_arms_that_stand_are_taken_up_and_none_is_made_unasked(study, tiny, world, tmp_path, capsys):
    twin = shutil.copytree(tiny, tmp_path / "twin")
    words = ("--quantizers", "torch-int8", "--data", world, "--limit", 20, "--benchmarks", "coco")
    assert call("main", "--models", tiny, "--noise", "no", *words) == 0
    assert len(runs("noise")) == 3, "other data, no new arm"
    assert call("main", "--models", f"{tiny},{twin}", *words) == 0
    assert Counter(run.data.tags["qbias.model"] for run in runs("noise")) == {"tiny": 6}, "both are of one size"
    compared = len(runs("comparison"))
    assert call("main", "--models", f"{tiny},{twin}", "--noise", "no", *words) == 0
    assert len(runs("comparison")) == compared, "the same arms are found again"
    assert call("main", "--models", f"{tiny},{twin}", "--noise", "all", *words) == 0
    assert Counter(run.data.tags["qbias.model"] for run in runs("noise")) == {"tiny": 6, "twin": 3}
    assert len(runs("comparison")) == compared + 1
    assert {run.data.tags["mlflow.parentRunId"] for run in runs("noise")} < {
        run.info.run_id for run in runs() if "qbias.kind" not in run.data.tags
    }
    capsys.readouterr()


def test_a_published_table_is_audited_without_run_or_store(tmp_path, monkeypatch, capsys):
    from entrypoints import compare
    from qbias.report.published import STUDY

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["compare", "--audit-table", str(STUDY)])
    assert compare.main() == 0
    assert "66 cells. 13 are impossible" in capsys.readouterr().out
    (tmp_path / "own.csv").write_text(STUDY.read_text().replace(",.862,", ",x,"))
    monkeypatch.setattr("sys.argv", ["compare", "--audit-table", "own.csv"])
    assert compare.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("compare: error: own.csv: 1 problem(s)")
    assert "line 2, column 'p': 'x' is not a number" in said
    assert [file.name for file in tmp_path.iterdir()] == ["own.csv"]


def test_a_pair_whose_files_were_altered_is_listed_and_the_rest_goes_on(study, tiny, world, tmp_path, capsys):
    twin = shutil.copytree(tiny, tmp_path / "twin")
    assert call("main", "--models", twin, "--quantizers", "torch-int8", "--data", world, "--noise", "no") == 0
    (spoilt,) = [run for run in runs("evaluation") if (run.data.tags["qbias.model"], run.data.tags["qbias.version"]) == ("tiny", "2")]
    artifact_file(spoilt.info.run_id, "outcomes/facet/images.parquet").write_bytes(b"x")
    capsys.readouterr()
    assert call("compare") == 0
    assert "1 pairs compared, 0 refused" in capsys.readouterr().out
    newest = runs("comparison")[0]
    page = mlflow.artifacts.load_text(f"{newest.info.artifact_uri}/report/report.html")
    assert spoilt.info.run_id in page
    assert "images.parquet" in page


def test_a_baseline_evaluated_twice_with_different_results_is_refused_with_both_run_ids(study, capsys):
    (first,) = [run for run in runs("evaluation") if run.data.tags["qbias.version"] == "1"]
    tags = {name: value for name, value in first.data.tags.items() if name.startswith("qbias.")}
    with mlflow.start_run(tags=tags | {"qbias.outcomes_digest": "0" * 64}) as second:
        pass
    assert call("compare") == 1
    said = capsys.readouterr().err
    assert "evaluated more than once under the same conditions with different outcomes" in said
    assert first.info.run_id in said
    assert second.info.run_id in said


def test_equal_content_under_another_name_is_evaluated_for_itself(study, tiny, world, tmp_path, capsys):
    twin = shutil.copytree(tiny, tmp_path / "twin")
    assert call("main", "--models", f"{tiny},{twin}", "--quantizers", "torch-int8", "--data", world) == 0
    assert Counter(run.data.tags["qbias.model"] for run in runs("evaluation")) == {"tiny": 2, "twin": 2}
    assert "2 pairs compared, 0 refused" in capsys.readouterr().out


@pytest.fixture
def plain(tmp_path):
    """A policy without rules: the tiny model is drawn, not trained, so weighing its changes would say nothing."""
    file = tmp_path / "plain.yaml"
    file.write_text(yaml.safe_dump(plain_policy().model_dump(mode="json")))
    return file


def test_review_promote_rollback_and_audit_as_a_user_calls_them(study, plain, world, tmp_path, capsys):
    _, candidate = version_cards()
    production, client = f"{candidate.name}-prod", mlflow.MlflowClient()
    policy, anchor = ("--policy", plain), ("--anchor", tmp_path / "anchor.jsonl")
    assert call("promote", "--model", candidate.uri, *policy) == 1
    said = capsys.readouterr().err
    assert "is not approved" in said
    assert "mlflow run . -e review -P model=" in said
    assert [model.name for model in client.search_registered_models()] == [candidate.name]
    assert call("review", "--model", candidate.uri, *policy) == 0
    shown = capsys.readouterr().out
    assert "REVIEW: " in shown
    assert "Attempts: 1 candidate of tiny evaluated" in shown
    assert "nothing is decided" in shown
    review = ("--model", candidate.uri, "--decision", "approve", "--reviewer", "a test", "--reason", "complete evidence")
    assert call("review", *review, *policy, *anchor) == 0
    assert "identity: not checked: policy 'plain' lists no reviewers" in capsys.readouterr().out
    assert call("promote", "--model", candidate.uri, "--promoter", "a test", *policy, *anchor) == 0
    assert {alias: str(version) for alias, version in client.get_registered_model(production).aliases.items()} == {"champion": "1"}
    (record,) = [run for run in runs("promotion") if run.info.status == "FINISHED"]
    assert record.data.params["promotion.review_runs"] == runs("review")[0].info.run_id
    assert runs("review")[0].data.params["review.reviewer"] == "a test"
    assert call("rollback", "--model", production, "--reason", "a test") == 1
    assert "no other version stood there before" in capsys.readouterr().err
    assert call("audit", *anchor) == 0
    client.set_registered_model_alias(candidate.name, "champion", candidate.version)
    assert call("audit", *anchor) == 1
    assert "other hands set it" in capsys.readouterr().out
    # What is served from production is the version that was evaluated, and belongs to it.
    assert [card.uri for card in version_cards()] == ["models:/tiny/1", "models:/tiny/2"]
    words = ("--benchmarks", "coco", "--data", world, "--limit", 20)
    assert call("evaluate", "--model", f"models:/{production}@champion", *words) == 0
    assert runs("evaluation")[0].data.tags["qbias.model"] == "tiny"


def test_the_default_policy_weighs_and_says_so(study, capsys):
    assert call("review", "--model", "models:/tiny/2") == 0
    assert "[facet/gender_mf/macro_gap_at_1]" in capsys.readouterr().out


def explain(*words):
    from entrypoints import review

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["review", *words])
        return review.main()


def test_a_policy_is_explained_without_run_or_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert explain("--explain") == 0
    assert explain("--explain", "true", "--policy", "two-people") == 0
    assert "two-people" in capsys.readouterr().out
    assert explain("--explain", "--policy", "two-peeple") == 1
    assert "Did you mean 'two-people'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_policy_is_explained_with_a_models_own_sizes(study, capsys):
    before = len(runs())
    assert explain("--explain", "--model", "models:/tiny/2") == 0
    assert "tiny" in capsys.readouterr().out
    assert len(runs()) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "model is missing: name the candidate with -P model="),
        (["--model", "models:/tiny/2", "--reviewer", "a"], "reviewer without a decision: add -P decision=approve"),
        (["--model", "models:/tiny/2", "--override", "true"], "override without a decision"),
        (["--model", "models:/tiny/2", "--decision", "approve", "--reason", "b"], "reviewer is empty"),
        (["--model", "models:/tiny/2", "--decision", "approve", "--reviewer", "a"], "reason is empty"),
        (["--model", "models:/tiny/2", "--decision", "approve", "--policy", "none-such"], "unknown policy 'none-such'"),
    ],
)
def test_a_review_that_is_not_whole_is_one_message(study, capsys, words, says):
    assert call("review", *words) == 1
    assert says in capsys.readouterr().err
    assert runs("review") == []


def test_an_evaluation_that_fails_leaves_what_was_finished(study, tiny, world, monkeypatch, capsys):
    from entrypoints import evaluate

    evaluated = len(runs("evaluation"))

    def broken(*words, **options):
        raise ValueError("the model's row 3 holds NaN")

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluate_model", broken)
        words = ("--models", tiny, "--quantizers", "torch-int8", "--data", world, "--limit", 20)
        assert call("main", *words) == 1
    assert "the model's row 3 holds NaN" in capsys.readouterr().err
    failed = [run for run in runs() if run.info.status == "FAILED"]
    assert {run.data.tags[ERROR_TAG] for run in failed} == {"the model's row 3 holds NaN"}
    assert len(failed) == 2
    assert len(runs("evaluation")) == evaluated
    assert call("main", *words) == 0
    assert len(runs("evaluation")) == evaluated + 2


def test_registration_interrupted_before_its_last_call_leaves_no_version(store, tiny, monkeypatch, capsys):
    client = mlflow.MlflowClient

    def stopped(*words, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client, "create_model_version", stopped)
        assert call("register", "--model", tiny, "--quantizers", "fp32") == 1
    assert [version.version for version in client().search_model_versions()] == []
    assert {run.info.status for run in runs()} == {"FAILED"}
    assert call("register", "--model", tiny, "--quantizers", "fp32") == 0
    assert [card.version for card in version_cards()] == ["1"]


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_every_parameter_means(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        call(verb, "--help")
    assert caught.value.code == 0
    parser = import_module(f"entrypoints.{verb}").parser()
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    assert actions
    assert all(action.help and len(action.help) > 10 for action in actions)


@pytest.mark.parametrize(
    ("verb", "words", "says"),
    [
        ("main", ["--models", "toy-s17-balanced"], "Did you mean 'toy-s16-balanced'?"),
        ("main", ["--quantizers", "int8"], "Valid names: fp32, fp16, bnb-int8"),
        ("register", ["--model", "/no/such/folder"], "/no/such/folder"),
        ("evaluate", ["--model", "models:/nothing/1"], "no model is registered yet"),
        ("compare", [], "run the verb 'register' first"),
        (
            "review",
            ["--model", "models:/nothing/1", "--decision", "approve", "--reviewer", "a", "--reason", "b"],
            "no model is registered yet",
        ),
        ("promote", ["--model", "nothing"], "give models:/<name>/<version>"),
        ("inspect", ["--model", "models:/nothing/1"], "no model is registered yet"),
        ("compare", ["--policy", "deflaut"], "Did you mean 'default'?"),
        ("rollback", ["--model", "nothing-prod", "--reason", "why"], "nothing was promoted to 'nothing-prod'"),
        ("audit", ["--models", "nothing"], "unknown model 'nothing'"),
        ("audit", ["--anchor", "/no/such/file"], "there is no such file"),
    ],
)
def test_a_wrong_name_is_one_readable_message(store, capsys, verb, words, says):
    assert call(verb, *words) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"{verb}: error: ")
    assert says in said
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert says in run.data.tags[ERROR_TAG]
