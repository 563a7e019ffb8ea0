"""What is wrong with a benchmark's files, gathered before anything is refused, so that one error lists every offender."""

from pathlib import Path

LISTED = 20


class Problems:
    """Offenders of one file: add them while reading, then `refuse` once.

    Every offender has a place (a row, an entry, a path), what is wrong there, and what to do about it.
    """

    def __init__(self, file: Path) -> None:
        """Start an empty list for `file`."""
        self.file = file
        self._found: list[str] = []
        self._remedies: dict[str, None] = {}

    def add(self, place: str, what: str, remedy: str) -> None:
        """Note one offender; the same remedy is told once."""
        self._found.append(f"{place}: {what}")
        self._remedies.setdefault(remedy)

    def refuse(self) -> None:
        """Raise one error that lists the offenders (up to 20, and how many more); return where there are none.

        Raises
        ------
        ValueError
            If anything was added.
        """
        if not self._found:
            return
        listed = "\n  ".join(self._found[:LISTED])
        more = f"\n  ... and {len(self._found) - LISTED} more" if len(self._found) > LISTED else ""
        remedies = "\n".join(f"- {remedy}" for remedy in self._remedies)
        raise ValueError(f"{self.file}: {len(self._found)} problem(s)\n  {listed}{more}\nWhat to do:\n{remedies}")


def repeated(values: list[str]) -> dict[int, int]:
    """Positions that repeat an earlier value -> the position of its first appearance."""
    first: dict[str, int] = {}
    return {position: first[value] for position, value in enumerate(values) if first.setdefault(value, position) != position}
