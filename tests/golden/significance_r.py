"""R's golden values (significance_r.json, made by significance.R), and the paired t-test of given differences."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qbias.significance.paired import PairedTest, paired_t

R: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def named(values: Iterable[float]) -> dict[str, float]:
    """The values under the models' names m0, m1, ..."""
    return {f"m{row}": float(value) for row, value in enumerate(values)}


def paired_test(differences: Iterable[float]) -> PairedTest:
    """The paired t-test with these differences."""
    candidate = named(differences)
    found = paired_t(dict.fromkeys(candidate, 0.0), candidate, name="gap")
    assert isinstance(found, PairedTest)
    return found
