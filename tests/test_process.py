"""A process is found again by place, number and start; where it cannot be seen, nothing is claimed about it."""

import subprocess
import sys

import pytest

from registry import process
from registry.process import alive, own_process

CODE = "import sys; from registry.process import own_process; print(own_process(), flush=True); sys.stdin.read()"

pytestmark = pytest.mark.skipif(not own_process()["qbias.place"], reason="this system has no /proc")


def test_the_running_process_lives() -> None:
    assert alive(own_process()) is True


@pytest.mark.parametrize(
    "changes",
    [{"qbias.place": "elsewhere"}, {"qbias.place": ""}, {"qbias.pid": ""}, {"qbias.pid": "x"}, {"qbias.pid": "-1"}, {"qbias.pid": "²"}],
)
def test_what_cannot_be_seen_is_not_known(changes: dict[str, str]) -> None:
    assert alive(own_process() | changes) is None


@pytest.mark.parametrize("changes", [{"qbias.pid_started": "1"}, {"qbias.pid_started": ""}, {"qbias.pid": "9" * 30}])
def test_another_process_of_that_number_is_not_the_same(changes: dict[str, str]) -> None:
    assert alive(own_process() | changes) is False


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_place", lambda: "")
    assert alive(own_process()) is None


def test_a_killed_process_is_dead_even_before_it_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        tags = dict(pair.split("': '") for pair in child.stdout.readline().strip("{}'\n").split("', '"))
        assert alive(tags) is True
        child.kill()
        # It stays a zombie until its parent asks for it; the pipe's end says that it is gone.
        assert child.stdout.read() == ""
        deadline = 1000
        while alive(tags) and deadline:
            deadline -= 1
        assert alive(tags) is False
