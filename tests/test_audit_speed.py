"""qbias.audit.speed: arithmetic on records, and records of every call. Nothing here depends on a clock."""

import numpy as np
import pytest

from qbias.audit.speed import TimedEncoder, speeds
from qbias.encoder import Pixels, Preprocessing, Rows


class Plain:
    """An Encoder that gives zeros."""

    preprocessing = Preprocessing(2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    width = 3

    def images(self, pixel_NRR3: Pixels) -> Rows:
        return np.zeros((len(pixel_NRR3), 3), np.float32)

    def texts(self, texts: list[str]) -> Rows:
        return np.ones((len(texts), 3), np.float32)


def test_medians_without_the_first_call_and_without_other_sizes() -> None:
    calls = [(32, 99.0), (32, 2.0), (1, 0.001), (1, 0.004), (8, 50.0), (1, 0.002), (32, 1.0), (32, 4.0)]
    assert speeds(calls) == pytest.approx({"latency_1": 2.0, "throughput_32": 16.0})


def test_every_call_is_recorded_and_its_rows_pass_through() -> None:
    timed = TimedEncoder(Plain())
    assert timed.images(np.zeros((4, 2, 2, 3), np.uint8)).tolist() == [[0.0] * 3] * 4
    assert timed.texts(["a", "b"]).tolist() == [[1.0] * 3] * 2
    assert [items for items, _ in timed.calls["image"] + timed.calls["text"]] == [4, 2]
    assert all(seconds >= 0 for calls in timed.calls.values() for _, seconds in calls)
