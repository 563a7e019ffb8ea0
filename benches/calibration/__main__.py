"""`python -m benches.calibration [part of a name ...]`: simulate and print every claim; without names also write docs/calibration.md."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benches.calibration.claims import Claim, lines
from benches.calibration.document import document
from benches.calibration.figures import figures
from benches.calibration.runs import SIMULATIONS, run

DOCS = Path(__file__).parents[2] / "docs"


def write(claims: Mapping[str, Sequence[Claim]], folder: Path) -> None:
    """calibration.md and the figures it shows."""
    drawn = figures(claims)
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    for drawing in (drawing for row in drawn.values() for drawing in row):
        (folder / "calibration" / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
    (folder / "calibration.md").write_text(document(claims, drawn), encoding="utf-8")


def main(names: Sequence[str]) -> int:
    """Simulate and print; 1 if a claim misses and the code gives no reason for it."""
    chosen = [row for row in SIMULATIONS if not names or any(name in row.name for name in names)]
    if not chosen:
        known = ", ".join(row.name for row in SIMULATIONS)
        print(f"no simulation has {' or '.join(names)} in its name; there are: {known}", file=sys.stderr)
        return 2
    claims = run(chosen)
    for section, rows in claims.items():
        print(f"\n{section}\n{lines(rows)}")
    if not names:
        write(claims, DOCS)
    bounded = [row for rows in claims.values() for row in rows if row.bound]
    missed, unexplained = sum(row.verdict == "missed" for row in bounded), sum(row.unexplained for row in bounded)
    print(f"\n{missed} of {len(bounded)} bounds missed, {unexplained} without a reason")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
