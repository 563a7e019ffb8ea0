"""Canonical batches, the order of what returns, and finished embeddings that are found again."""

import hashlib
import threading

import numpy as np
import pytest

from qbias.benchmarks.content import canonical_order
from qbias.embed import batches, embed_images, embed_texts, stored_embeddings
from qbias.encoder import Preprocessing
from qbias.environment import one_thread_per_batch
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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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


def test_embeddings_are_computed_once_per_content_and_again_when_cut_short(cache):
    calls = []

    def compute():
        calls.append(1)
        return np.eye(3, dtype=np.float32)

    for facts in ({"weights": "a"}, {"weights": "a"}, {"weights": "b"}):
        assert np.array_equal(stored_embeddings("images", facts, compute), np.eye(3))
    assert len(calls) == 2
    for file in cache.rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:40])
    assert np.array_equal(stored_embeddings("images", {"weights": "a"}, compute), np.eye(3))
    assert len(calls) == 3


def test_two_threads_storing_the_same_embeddings_leave_whole_files(cache):
    start = threading.Barrier(2)

    def compute():
        start.wait()
        return np.full((1000, 8), 7, dtype=np.float32)

    threads = [threading.Thread(target=stored_embeddings, args=("texts", {"weights": "a"}, compute)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(stored_embeddings("texts", {"weights": "a"}, lambda: np.zeros((1, 1))), np.full((1000, 8), 7))


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
