"""`python -m benches [name ...]`: run all benches, or those named, and print their rows."""

import sys
from collections.abc import Callable

from benches import beside, demo, evidence, metrics, models, speed, spread, store, streaming
from benches.rows import Row, table
from qbias.tables import pick_many

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "metrics": metrics.rows,
    "evidence": evidence.rows,
    "demo": demo.rows,
    "models": models.rows,
    "speed": speed.rows,
    "clip-benchmark": beside.rows,
    "ray": spread.rows,
    "store": store.rows,
    "streaming": streaming.rows,
}


def main(names: list[str]) -> int:
    """Run the benches and print one table each."""
    for bench in pick_many(BENCHES, names or "all", what="bench"):
        print(table(bench()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
