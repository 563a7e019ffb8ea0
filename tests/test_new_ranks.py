"""A new k, a new metric or a repeated evaluation asks the model for nothing that it has said before."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qbias.encoder import Preprocessing
from qbias.measure import measure, measured
from qbias.outcomes import outcomes_of
from qbias.plan import Plan
from qbias.protocol import Protocol
from qbias.streamed import measure_stored, store_outcomes
from qbias.subject import Subject

FEW = Protocol(limit=48, batch_size=16, min_per_group=1, skew_k=10)


class Counting:
    """An encoder that counts its forward passes: rows drawn from what it is given."""

    preprocessing = Preprocessing(16, (0.5,) * 3, (0.5,) * 3)
    width = 32

    def __init__(self) -> None:
        self.passes = 0

    def images(self, pixel_NRR3: np.ndarray) -> np.ndarray:
        return self._rows([int(pixels.astype(np.int64).sum()) for pixels in pixel_NRR3])

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._rows([sum(text.encode()) for text in texts])

    def _rows(self, seeds: Sequence[int]) -> np.ndarray:
        self.passes += 1
        row_ND = np.stack([np.random.default_rng(seed).standard_normal(self.width) for seed in seeds])
        return (row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("benchmark", ["imagenet", "coco", "facet", "fairface"])
def test_other_ranks_take_no_forward_pass(benchmark: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("QBIAS_WORKERS", "1")
    encoder = Counting()
    subject = Subject("counted", lambda frame: None, encoder, "a")
    dataset = Plan((benchmark,), world, FEW).dataset(benchmark)
    source, _ = store_outcomes(dataset, *subject.embeddings(dataset, FEW), FEW, tmp_path / "outcomes")
    passes = encoder.passes
    assert passes >= 4, "or this would show nothing"
    ranks = {"k": 7} if dataset.kind == "skew" else {"ks": [2, 4]}
    protocol = replace(FEW, skew_k=7)
    other = replace(dataset, facts={**dataset.facts, **ranks})
    again = measure(outcomes_of(other, *subject.embeddings(other, protocol), protocol))
    assert measure_stored(tmp_path / "outcomes", **ranks) == again
    assert measure_stored(tmp_path / "outcomes") == measured(source, dataset.kind)
    assert {row.name for row in again[0]} != {row.name for row in measured(source, dataset.kind)[0]}
    assert encoder.passes == passes
