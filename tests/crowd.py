"""One verb many times at once, each in a process of its own: `python -m tests.crowd FOLDER VERB COMMANDS at-once`.

Libraries are imported once and the processes forked from there: eight imports of torch would take longer than the evaluations.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benches.reliability.prepared import LIBRARIES

if TYPE_CHECKING:
    from tests.server import Team

PROJECT = Path(__file__).resolve().parent.parent


def main(folder: Path, verb: str, commands: list[list[str]], *, at_once: bool) -> list[int]:
    """Exit code of each command, run at once or one after the other; what it printed is in `folder`, by its number."""
    for library in LIBRARIES:
        importlib.import_module(library)
    import mlflow

    from entrypoints.verb import run_verb

    module = importlib.import_module(f"entrypoints.{verb}")
    assert mlflow.active_run() is None
    children, codes = [], []
    for number, words in enumerate(commands):
        if child := os.fork():
            children.append(child)
            if not at_once:
                codes.append(ended(child))
            continue
        code = 70
        try:
            with (folder / f"{number}.txt").open("w") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            sys.argv = [verb, *words]
            code = run_verb(verb, module.parser(), module.work)
            sys.stdout.flush()
        finally:
            os._exit(code)
    return codes or [ended(child) for child in children]


def ended(child: int) -> int:
    """The exit code of a child process, waited for."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Crowd:
    """Commands that run as one user's; `wait` for their exit codes, what they said is in `texts` then.

    Parameters
    ----------
    team, user : whose server, and who. verb, commands : the verb, and its words for each process.
    folder : a new one, for what they say. address : of a proxy. at_once : or one after the other. variables : more of the environment.
    """

    def __init__(
        self, team: "Team", user: str, verb: str, commands: Sequence[Sequence[object]], folder: Path, address: str | None = None, *,
        at_once: bool = True, **variables: str,
    ) -> None:  # fmt: skip
        folder.mkdir()
        self.folder, self.count = folder, len(commands)
        self.texts: list[str] = []
        environment = team.environment(user, address) | {"QBIAS_CACHE": str(folder / "cache"), "QBIAS_WORKERS": "1"} | variables
        given = json.dumps([list(map(str, words)) for words in commands])
        command = [sys.executable, "-m", "tests.crowd", str(folder), verb, given, "at-once" if at_once else "in-turn"]
        self.process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait(self) -> list[int]:
        """The exit codes, in the order of the commands."""
        try:
            said, failed = self.process.communicate(timeout=300)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.communicate()
        assert self.process.returncode == 0, failed
        self.texts = [(self.folder / f"{number}.txt").read_text() for number in range(self.count)]
        codes: list[int] = json.loads(said)
        return codes


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), at_once=sys.argv[4] == "at-once")))
