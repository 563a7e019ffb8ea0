"""Canonical batches, the order of what returns, and how the work is spread over threads."""

import hashlib
import threading
from contextlib import nullcontext

import numpy as np
import pytest

from qbias.benchmarks.content import canonical_order
from qbias.embed import batches, embed_images, embed_texts, image_run
from qbias.encoder import Preprocessing
from qbias.environment import one_thread_per_batch
from qbias.passes import PASSES, Count
from qbias.quantizers import QUANTIZERS
from tests.quantized import ROWS


class Recorder:
    """An encoder that embeds an image as its mean grey and its place in the batch, and remembers what stood together."""

    preprocessing = Preprocessing(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    width = 2

    def __init__(self):
        self.batches = []
        self.lock = threading.Lock()

    def images(self, pixel_NRR3):
        grey = pixel_NRR3.reshape(len(pixel_NRR3), -1).mean(axis=1)
        with self.lock:
            self.batches.append([round(value) for value in grey])
        return np.stack([grey, np.arange(len(grey))], axis=1).astype(np.float32)

    def texts(self, texts):
        self.batches.append(list(texts))
        return np.array([[len(text), 0] for text in texts], dtype=np.float32)


IDS = [f"{number}.png" for number in range(10)]
PIXELS_N883 = np.repeat(np.arange(10, dtype=np.uint8), 8 * 8 * 3).reshape(10, 8, 8, 3)


def test_canonical_order_is_the_order_of_the_ids_sha256():
    ids = ["c", "a", "b"]
    expected = sorted(range(3), key=lambda row: hashlib.sha256(ids[row].encode()).hexdigest())
    assert canonical_order(ids).tolist() == expected


def test_batches_cover_every_row_once():
    assert [list(range(7))[some] for some in batches(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches(0, 3)) == []


def test_what_stands_together_does_not_depend_on_the_datasets_order():
    forwards, backwards = Recorder(), Recorder()
    embed_images(forwards, PIXELS_N883, IDS, batch_size=4, advance=lambda n: None)
    embed_images(backwards, PIXELS_N883[::-1], IDS[::-1], batch_size=4, advance=lambda n: None)
    assert sorted(forwards.batches) == sorted(backwards.batches)
    assert sorted(len(rows) for rows in forwards.batches) == [2, 4, 4]


def test_rows_return_in_the_datasets_order():
    done: list[int] = []
    rows = embed_images(Recorder(), PIXELS_N883, IDS, batch_size=4, advance=done.append)
    assert rows[:, 0].tolist() == list(range(10))
    assert sum(done) == 10


def test_texts_keep_the_lists_order_in_batches():
    recorder = Recorder()
    assert embed_texts(recorder, ["a", "bb", "ccc"], batch_size=2, advance=lambda n: None)[:, 0].tolist() == [1, 2, 3]
    assert recorder.batches == [["a", "bb"], ["ccc"]]


def test_a_text_that_stands_twice_is_embedded_once():
    encoder = Recorder()
    rows = embed_texts(encoder, ["missile", "a", "missile", "bb"], batch_size=2, advance=lambda n: None)
    assert rows[:, 0].tolist() == [7, 1, 7, 2]
    assert sorted(text for batch in encoder.batches for text in batch) == ["a", "bb", "missile"]


class Staged(Recorder):
    """An encoder on a device: loading, starting and waiting are steps, and each notes the thread it ran in."""

    staged = True

    def __init__(self):
        super().__init__()
        self.steps = []

    def note(self, step):
        with self.lock:
            self.steps.append((step, threading.get_ident()))

    def load_images(self, pixel_NRR3):
        self.note("load")
        return pixel_NRR3

    def start_images(self, loaded):
        self.note("start")
        return lambda: self.images(loaded)

    def load_texts(self, texts):
        self.note("load")
        return texts

    def start_texts(self, loaded):
        self.note("start")
        return lambda: self.texts(loaded)

    def finished(self, started):
        self.note("finished")
        return started()


def test_a_device_loads_computes_and_waits_in_different_threads():
    encoder = Staged()
    rows = embed_images(encoder, PIXELS_N883, IDS, batch_size=2, advance=lambda n: None)
    assert rows[:, 0].tolist() == list(range(10))
    threads = {step: {thread for name, thread in encoder.steps[3:] if name == step} for step in ("load", "start", "finished")}
    assert threads["finished"] == {threading.get_ident()}
    assert [len(found) for found in threads.values()] == [1, 1, 1]
    assert len(set().union(*threads.values())) == 3
    assert embed_texts(encoder, ["a", "bb", "a"], batch_size=2, advance=lambda n: None)[:, 0].tolist() == [1, 2, 1]


def test_forward_passes_are_counted():
    for encoder in (Recorder(), Staged()):
        before = PASSES.now()
        embed_images(encoder, PIXELS_N883, IDS, batch_size=4, advance=lambda n: None)
        embed_texts(encoder, ["a", "bb", "a"], batch_size=8, advance=lambda n: None)
        assert PASSES.now() - before == Count(images=10, image_batches=3, texts=2, text_batches=1)


def test_no_batch_is_begun_after_an_error(monkeypatch):
    monkeypatch.setenv("QBIAS_WORKERS", "1")

    class Breaks(Recorder):
        def images(self, pixel_NRR3):
            found = super().images(pixel_NRR3)
            if len(self.batches) == 2:
                raise RuntimeError("broken")
            return found

    encoder = Breaks()
    with pytest.raises(RuntimeError, match="broken"):
        embed_images(encoder, PIXELS_N883, IDS, batch_size=1, advance=lambda n: None)
    assert len(encoder.batches) <= 4


def test_pixels_are_loaded_ahead_but_not_without_bound(monkeypatch):
    monkeypatch.setenv("QBIAS_WORKERS", "1")
    taken, done = [], []

    class Slow:
        def __getitem__(self, rows):
            taken.append(len(rows))
            return PIXELS_N883[rows]

    for _ in image_run(Recorder(), Slow(), np.arange(10))(batches(10, 1)):
        done.append(1)
        assert len(taken) <= len(done) + 3
    assert len(taken) == 10


@pytest.mark.parametrize("name", ROWS)
def test_batches_side_by_side_give_what_one_after_the_other_gives(name, tiny, tmp_path, monkeypatch):
    one_thread_per_batch()
    QUANTIZERS[name].save(tiny, tmp_path / "saved")
    rng = np.random.default_rng(0)
    pixel_NRR3 = rng.integers(0, 256, size=(150, 64, 64, 3), dtype=np.uint8)
    ids, texts = [str(number) for number in range(150)], [f"a photo of robot {number}" for number in range(150)]

    def embedded(workers):
        monkeypatch.setenv("QBIAS_WORKERS", workers)
        encoder = QUANTIZERS[name].load(tmp_path / "saved")
        images = embed_images(encoder, pixel_NRR3, ids, batch_size=8, advance=lambda n: None)
        return np.concatenate([images, embed_texts(encoder, texts, batch_size=8, advance=lambda n: None)])

    alone = embedded("1")
    for _ in range(3):
        assert np.array_equal(embedded("4"), alone)


@pytest.mark.parametrize("used_before", [False, True])
def test_only_an_encoders_first_batch_goes_alone(used_before, monkeypatch):
    monkeypatch.setenv("QBIAS_WORKERS", "2")
    met = threading.Barrier(2)

    class Pairwise(Recorder):
        together = False

        def images(self, pixel_NRR3):
            if self.together:
                met.wait(timeout=20 if used_before else 1)
            return super().images(pixel_NRR3)

    encoder = Pairwise()
    if used_before:
        embed_images(encoder, PIXELS_N883, IDS, batch_size=5, advance=lambda n: None)
    encoder.together = True
    with nullcontext() if used_before else pytest.raises(threading.BrokenBarrierError):
        embed_images(encoder, PIXELS_N883, IDS, batch_size=5, advance=lambda n: None)
