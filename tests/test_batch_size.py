"""A batch size that is chosen, and one that does not fit."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qbias.batch_size
from qbias.batch_size import chosen_batch_size, largest, out_of_memory
from qbias.embed import embed_images, embed_texts
from tests.test_embed import IDS, PIXELS_N883, Recorder

PROJECT = Path(__file__).resolve().parent.parent


class Small(Recorder):
    """Has memory for so many rows."""

    def __init__(self, room, error):
        super().__init__()
        self.room, self.error = room, error

    def images(self, pixel_NRR3):
        if len(pixel_NRR3) > self.room:
            raise self.error
        return super().images(pixel_NRR3)

    def texts(self, texts):
        if len(texts) > self.room:
            raise self.error
        return super().texts(texts)


def errors():
    import torch

    yield MemoryError("no room")
    yield torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
    yield RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    yield RuntimeError("std::bad_alloc")


@pytest.mark.parametrize("error", list(errors()), ids=lambda error: str(error)[:20])
def test_a_batch_that_does_not_fit_names_the_largest_that_did(error):
    assert out_of_memory(error)
    for encoder, embed in (
        (Small(3, error), lambda encoder: embed_images(encoder, PIXELS_N883, IDS, batch_size=8, advance=lambda n: None)),
        (Small(3, error), lambda encoder: embed_texts(encoder, IDS, batch_size=8, advance=lambda n: None)),
    ):
        with pytest.raises(ValueError, match=r"batch_size=8 \((images|texts)\) does not fit .*the largest that did is 2: set batch_size=2"):
            embed(encoder)


def test_where_one_row_does_not_fit_there_is_no_remedy_by_batch_size():
    with pytest.raises(ValueError, match="not even one row did"):
        embed_images(Small(0, MemoryError()), PIXELS_N883, IDS, batch_size=8, advance=lambda n: None)


def test_what_fits_alone_is_told(monkeypatch):
    encoder = Small(3, MemoryError())
    monkeypatch.setattr(qbias.batch_size, "_free_memory", lambda: setattr(encoder, "room", 99))
    with pytest.raises(ValueError, match="alone such a batch fits: set QBIAS_WORKERS=1, or batch_size=4"):
        embed_images(encoder, PIXELS_N883, IDS, batch_size=8, advance=lambda n: None)


def test_other_errors_are_passed_on():
    assert not out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(KeyError):
        embed_images(Small(3, KeyError("x")), PIXELS_N883, IDS, batch_size=8, advance=lambda n: None)
    with pytest.raises(KeyError):
        largest(lambda rows: {}["x"], 8)


LIMITED = """
import resource, sys
import numpy as np
from qbias.embed import embed_images
from qbias.environment import one_thread_per_batch
from qbias.quantizers import QUANTIZERS, load_encoder

one_thread_per_batch()
encoder = load_encoder(sys.argv[1])
encoder.images(np.zeros((1, 64, 64, 3), np.uint8))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20), resource.RLIM_INFINITY))
try:
    embed_images(encoder, np.zeros((16384, 64, 64, 3), np.uint8), [str(n) for n in range(16384)], batch_size=16384, advance=lambda n: None)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limit of a process's memory")
def test_a_real_model_with_too_little_memory(tiny, tmp_path):
    from qbias.quantizers import QUANTIZERS

    QUANTIZERS["fp32"].save(tiny, tmp_path / "saved")
    code = LIMITED.replace("load_encoder(sys.argv[1])", "load_encoder(__import__('pathlib').Path(sys.argv[1]))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "saved")], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("batch_size=16384 (images) does not fit in the memory of this machine's cpu"), done.stdout + done.stderr
    assert "set batch_size=" in done.stdout


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(qbias.batch_size, "SIZES", {"cpu": (2, 4, 8, 16)})
    return tmp_path / "cache"


def test_auto_takes_the_smallest_that_is_fast_enough_probes_once_and_says_so(cache, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "qbias")
    taken = {2: 1.0, 4: 1.0, 8: 1.98, 16: 3.95}
    monkeypatch.setattr(qbias.batch_size, "_seconds", lambda encoder, size: taken[size])
    encoder = Small(99, MemoryError())
    assert chosen_batch_size(encoder, "a") == 4
    assert [record.getMessage() for record in caplog.records] == [
        "batch_size=auto: 4 (2: 2.0 images/s, 4: 4.0 images/s, 8: 4.0 images/s, 16: 4.1 images/s)"
    ]
    taken[4] = 99.0
    assert chosen_batch_size(encoder, "a") == 4, "a second run must not choose another one"
    assert chosen_batch_size(encoder, "b") == 8


def test_auto_leaves_out_what_does_not_fit(cache):
    assert chosen_batch_size(Small(5, MemoryError()), "a") in (2, 4)
    with pytest.raises(ValueError, match="not even 2 images fit"):
        chosen_batch_size(Small(1, MemoryError()), "b")


def test_a_damaged_answer_is_found_out_again(cache):
    size = chosen_batch_size(Small(2, MemoryError()), "a")
    for file in cache.rglob("*.json"):
        file.write_bytes(b"{")
    assert chosen_batch_size(Small(2, MemoryError()), "a") == size == 2


def test_the_probe_uses_the_models_resolution(cache):
    encoder = Recorder()
    chosen_batch_size(encoder, "a")
    assert encoder.preprocessing.resolution == 8
    assert max(map(len, encoder.batches)) == 16
    assert np.isfinite(encoder.width)
