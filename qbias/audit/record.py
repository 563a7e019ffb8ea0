"""Audit: what was measured of one saved model, and how it is written down."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qbias.audit.table import METRICS

FORMAT = 1
"""Raised when the meaning of a number changes."""
JSON, TABLE, FIGURE = "audit.json", "layers.csv", "sqnr"


@dataclass(frozen=True)
class LayerRow:
    """One linear layer of the baseline.

    Attributes
    ----------
    layer, tower : its name, and `image` or `text`. quantized : whether the candidate's is.
    parameters : entries of its matrix. multiply_adds : for one item. activation : largest magnitude of its input in the baseline.
    sqnr : signal-to-quantization-noise ratio in dB; None with the reason in `note`.
    """

    layer: str
    tower: str
    quantized: bool
    parameters: int
    multiply_adds: int
    activation: float
    sqnr: float | None
    note: str


@dataclass(frozen=True)
class Audit:
    """What was measured of one saved model beside its baseline.

    Attributes
    ----------
    quantizer : which method wrote it. metrics : finite numbers, named as in METRICS.
    insufficient : every other name of METRICS, with the reason why there is no number.
    layers : a row for each linear layer of the baseline. facts : probe, machine, library versions (JSON values).
    """

    quantizer: str
    metrics: Mapping[str, float]
    insufficient: Mapping[str, str]
    layers: tuple[LayerRow, ...]
    facts: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values, with the meaning of each number."""
        return {"format": FORMAT, **asdict(self), "meanings": {name: METRICS[name] for name in self.metrics}}

    def write(self, folder: Path) -> None:
        """Write audit.json, layers.csv, sqnr.svg and sqnr.png into `folder`, which is made if need be."""
        from qbias.audit.figure import sqnr_figure

        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON).write_text(json.dumps(self.as_dict(), indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(LayerRow.__dataclass_fields__)
            table.writerows(asdict(row).values() for row in self.layers)
        sqnr_figure(self, folder / FIGURE)
