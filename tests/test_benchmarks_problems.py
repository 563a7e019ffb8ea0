"""One error that lists every offender."""

from pathlib import Path

import pytest

from qbias.benchmarks.problems import Problems, repeated


def test_no_problem_is_no_error() -> None:
    Problems(Path("labels.csv")).refuse()


def test_every_offender_is_listed_and_a_remedy_told_once() -> None:
    problems = Problems(Path("labels.csv"))
    problems.add("line 2", "bad", "mend it")
    problems.add("line 5", "worse", "mend it")
    with pytest.raises(ValueError, match=r"labels.csv: 2 problem") as refused:
        problems.refuse()
    assert "line 2: bad" in str(refused.value)
    assert "line 5: worse" in str(refused.value)
    assert str(refused.value).count("mend it") == 1
    assert "more" not in str(refused.value)


@pytest.mark.parametrize(("found", "tail"), [(20, None), (21, "... and 1 more"), (300, "... and 280 more")])
def test_twenty_are_shown_and_the_rest_counted(found: int, tail: str | None) -> None:
    problems = Problems(Path("x"))
    for line in range(found):
        problems.add(f"line {line}", "bad", "mend it")
    with pytest.raises(ValueError, match="x: ") as refused:
        problems.refuse()
    shown = str(refused.value)
    assert shown.count(": bad") == 20
    assert tail in shown if tail else "more" not in shown


def test_repeated_points_to_the_first() -> None:
    assert repeated(["a", "b", "a", "a", "c", "b"]) == {2: 0, 3: 0, 5: 1}
