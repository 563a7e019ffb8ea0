import argparse
import signal

import mlflow
import pytest

from entrypoints.options import data_folder, verb_parser, whole_number
from entrypoints.verb import ERROR_TAG, INTERRUPTED, run_verb


@pytest.fixture(autouse=True)
def own_signals():
    """The frame takes over Ctrl-C and SIGTERM; give them back to pytest."""
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    # A person's terminal starts Python so; a shell's background job starts it with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.fixture
def call(store, monkeypatch):
    """Run a verb as the command line would; returns its exit code and its run."""

    def call(work, *words):
        monkeypatch.setattr("sys.argv", ["verb", *words])
        parser = verb_parser("verb", "A verb for this test.")
        parser.add_argument("--limit", type=whole_number, default=None)
        code = run_verb("verb", parser, work)
        (run,) = mlflow.search_runs(experiment_ids=[store.experiment], output_format="list")
        return code, run

    return call


def files(run):
    return [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "error")]


def test_a_good_verb_prints_its_sentence_and_finishes(call, capsys):
    code, run = call(lambda options: f"all {options.limit} done", "--limit", "3")
    assert (code, run.info.status) == (0, "FINISHED")
    assert "all 3 done" in capsys.readouterr().out
    assert ERROR_TAG not in run.data.tags
    assert run.data.tags["qbias.verb"] == run.info.run_name == "verb"


def test_a_users_mistake_is_one_message_and_the_traceback_goes_to_the_run(call, capsys):
    def work(options):
        mlflow.log_metric("made/before", 1.0)
        raise ValueError("limit=0 is below 1: leave it out")

    code, run = call(work)
    printed = capsys.readouterr()
    assert (code, run.info.status) == (1, "FAILED")
    assert printed.err.strip() == "verb: error: limit=0 is below 1: leave it out"
    assert run.data.tags[ERROR_TAG] == "limit=0 is below 1: leave it out"
    assert run.data.metrics == {"made/before": 1.0}
    assert "Traceback" in mlflow.artifacts.load_text(f"{run.info.artifact_uri}/error/traceback.txt")


def test_another_error_says_its_kind(call, capsys):
    def work(options):
        return str({}["absent"])

    code, run = call(work)
    assert code == 1
    assert run.data.tags[ERROR_TAG] == "KeyError: 'absent'"
    assert "KeyError: 'absent'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--limit", "ten"], "argument --limit: 'ten' is not a whole number; give one, or 'none'"),
        (["--limt", "3"], "unrecognized arguments: --limt 3"),
    ],
)
def test_a_wrong_parameter_is_recorded_like_any_mistake(call, capsys, words, says):
    code, run = call(lambda options: "never said", *words)
    assert (code, run.info.status) == (1, "FAILED")
    assert says in run.data.tags[ERROR_TAG]
    assert "--help' explains every parameter" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_fails_the_run_and_keeps_what_was_there(call, capsys, number):
    def work(options):
        mlflow.log_metric("made/before", 1.0)
        signal.raise_signal(number)
        return "never said"

    code, run = call(work)
    assert (code, run.info.status) == (1, "FAILED")
    assert run.data.tags[ERROR_TAG] == INTERRUPTED
    assert run.data.metrics == {"made/before": 1.0}
    assert INTERRUPTED in capsys.readouterr().err
    assert files(run) == ["error/traceback.txt"]


@pytest.mark.parametrize(("text", "number"), [("none", None), ("", None), ("12", 12)])
def test_whole_number(text, number):
    assert whole_number(text) == number


def test_a_word_is_no_whole_number():
    with pytest.raises(argparse.ArgumentTypeError, match="'ten' is not a whole number"):
        whole_number("ten")


def test_a_missing_data_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no folder") as caught:
        data_folder(str(tmp_path / "absent"))
    assert str(tmp_path / "absent") in str(caught.value)
    assert data_folder(str(tmp_path)) == tmp_path
