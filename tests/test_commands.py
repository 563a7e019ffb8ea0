"""The commands that errors recommend can be pasted into a shell."""

import shlex

from registry.commands import compare_command, evaluate_command, register_command, review_command

NAME = "it's a $(model)"


def test_names_stay_one_word() -> None:
    assert shlex.split(register_command(NAME))[-1] == f"model={NAME}"
    assert shlex.split(evaluate_command(NAME, "2"))[-1] == f"model=models:/{NAME}/2"
    assert shlex.split(compare_command(NAME))[-1] == f"models={NAME}"


def test_an_approval_leaves_name_and_reason_to_the_person() -> None:
    assert review_command("toy", "2") == (
        "mlflow run . -e review -P model=models:/toy/2 -P decision=approve -P reviewer='<your name>' -P reason='<why>'"
    )
