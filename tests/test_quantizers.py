"""qbias.quantizers: every row of the table saves, loads, stays the same in another process, and says what it covered."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qbias.quantizers import QUANTIZERS, Coverage, read_card, weights_sha256
from tests.quantized import ROWS, TEXTS, Saved, pixels, saved
from tests.tiny import tiny_clip

__all__ = ["saved"]

FLOOR = {
    "fp32": 0.999999,
    "bnb-int8": 0.999,
    "bnb-nf4": 0.95,
    "bnb-fp4": 0.94,
    "torch-int8": 0.99,
    "torchao-int8": 0.999,
    "ort-int8": 0.99,
}
"""Least cosine with fp32, over all test images and texts, of each row."""
FRESH = """
import pickle, sys, warnings

def never(*arguments, **options):
    raise RuntimeError("pickled code could run here")

class Never(pickle.Unpickler):
    __init__ = never

class NeverEither(pickle._Unpickler):
    __init__ = never

def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "pickle.find_class"):
        raise RuntimeError(f"{event} {arguments} while a model was loaded or used")

sys.addaudithook(guard)
warnings.simplefilter("error")
pickle.load, pickle.loads, pickle.Unpickler, pickle._Unpickler = never, never, Never, NeverEither
from pathlib import Path
from qbias.quantizers import load_encoder
import cloudpickle, torch
import numpy as np

cloudpickle.load = cloudpickle.loads = torch.load = never
given = np.load(sys.argv[1], allow_pickle=False)
rows = {}
for folder in map(Path, sys.argv[3:]):
    encoder = load_encoder(folder)
    rows[f"{folder.name}/images"] = encoder.images(given["pixels"])
    rows[f"{folder.name}/texts"] = encoder.texts([str(text) for text in given["texts"]])
with open(sys.argv[2], "wb") as file:
    np.savez(file, **rows)
"""


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_unit_and_near_the_baseline(saved: Saved, name: str) -> None:
    """Embeddings have length 1 and point where fp32 points, as closely as the row's floor says; only fp32 is equal to fp32."""
    for given in ("images", "texts"):
        rows, baseline = getattr(saved, given)[name], getattr(saved, given)["fp32"]
        assert (rows.dtype, rows.shape) == (np.float32, (len(baseline), saved.encoder(name).width))
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
        assert (rows * baseline).sum(axis=1).min() > FLOOR[name]
        assert np.array_equal(rows, baseline) == (name == "fp32"), "nothing was quantized"


def test_the_images_differ(saved: Saved) -> None:
    """The floors above would be worth nothing if every image had the same embedding."""
    cosine_NN = saved.images["fp32"] @ saved.images["fp32"].T
    assert np.median(cosine_NN) < 0.95


def test_a_fresh_process_gives_the_same_bits(saved: Saved, tmp_path: Path) -> None:
    """Another process and working directory, as many threads: the same bits from every row.

    No network, no unpickling by any door, from the import of the libraries on; no warning, and nothing on the terminal.
    """
    import torch

    np.savez(tmp_path / "given.npz", pixels=pixels(16), texts=np.array(TEXTS))
    folders = [str(saved.root / name) for name in ROWS]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", FRESH, str(tmp_path / "given.npz"), str(tmp_path / "rows.npz"), *folders]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = np.load(tmp_path / "rows.npz", allow_pickle=False)
    for name in ROWS:
        np.testing.assert_array_equal(rows[f"{name}/images"], saved.images[name], err_msg=name)
        np.testing.assert_array_equal(rows[f"{name}/texts"], saved.texts[name], err_msg=name)


@pytest.mark.parametrize("name", ROWS)
def test_batch_dependence_is_as_stated(saved: Saved, name: str) -> None:
    """A row that says its results stand alone gives the same alone; dynamic int8 does not (LLM.int8() only beyond its threshold)."""
    encoder, first = saved.encoder(name), 6
    alone = np.concatenate([encoder.images(one[None]) for one in pixels(16)[:first]])
    distance = np.abs(alone - saved.images[name][:first]).max()
    if name in ("torch-int8", "ort-int8"):
        assert QUANTIZERS[name].batch_dependent
        assert distance > 1e-5
    if not QUANTIZERS[name].batch_dependent:
        # bfloat16 products (nf4 and fp4 on some CPUs) are summed in an order that depends on the number of rows.
        assert distance < (1e-5 if name == "fp32" else 2e-2)


@pytest.mark.parametrize("name", ROWS)
def test_coverage_is_as_the_protocol_says(saved: Saved, name: str) -> None:
    """Two towers of two layers with six products each, and two projections; bitsandbytes leaves text_projection in float."""
    coverage = saved.coverage[name]
    left = {"fp32": 26, "bnb-int8": 1, "bnb-nf4": 1, "bnb-fp4": 1}.get(name, 0)
    assert (coverage.total, coverage.quantized, len(coverage.kept_float)) == (26, 26 - left, left)
    if left == 1:
        assert coverage.kept_float == ("text_projection",)
    products = 4 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 64 * 64
    assert coverage.parameters_quantized == {26: 0, 1: products - 64 * 64, 0: products}[left]
    assert coverage.parameters_total == saved.coverage["fp32"].parameters_total
    assert read_card(saved.root / name).coverage == coverage


def test_saving_twice_gives_the_same_digest(saved: Saved, tmp_path: Path) -> None:
    """Weights are the same bytes however often they are made, and differ between rows and seeds."""
    digests = {name: weights_sha256(saved.root / name) for name in ROWS}
    for name in ROWS:
        QUANTIZERS[name].save(saved.baseline, tmp_path / name)
        assert weights_sha256(tmp_path / name) == digests[name], name
    assert len(set(digests.values())) == len(ROWS)
    assert weights_sha256(tiny_clip(tmp_path / "other", seed=1)) != weights_sha256(saved.baseline)


@pytest.mark.parametrize("name", ROWS)
def test_encoders_check_what_they_are_given(saved: Saved, name: str) -> None:
    """Empty batches are empty; other shapes, types and texts are refused with what was expected."""
    encoder = saved.encoder(name)
    assert encoder.images(pixels(0)).shape == encoder.texts([]).shape == (0, encoder.width)
    wrongs: list[Any] = [pixels(2)[:, :32], pixels(2).astype(np.float32), pixels(2)[0]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"takes uint8 \(N, 64, 64, 3\)"):
            encoder.images(wrong)
    with pytest.raises(ValueError, match="text 1 is None"):
        encoder.texts(["x", None])  # type: ignore[list-item]


def test_rows_are_described() -> None:
    """Every row carries what a reader and the registry need; the table imports no runtime."""
    for name, row in QUANTIZERS.items():
        assert row.name == name
        assert all((row.source, row.library, row.runs_on, row.packages))
        assert 0 < row.bits <= 32
        assert set(row.runs_on) <= {"cpu", "cuda"}
        assert json.loads(json.dumps(row.settings)) == row.settings
    assert next(iter(QUANTIZERS)) == "fp32"
    heavy = "torch", "transformers", "bitsandbytes", "torchao", "onnxruntime", "optimum", "mlflow"
    check = f"import sys, qbias.quantizers; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_missing_library_is_named(saved: Saved, tmp_path: Path) -> None:
    """A row whose libraries are not installed says so with all of them, and neither saves nor loads; other rows go on."""
    row = replace(QUANTIZERS["fp32"], packages=("numpy", "no-such-library", "nor-this"))
    needs = "no-such-library, nor-this are not installed: pip install no-such-library nor-this, or leave fp32 out"
    assert needs in row.unavailable()
    with pytest.raises(ValueError, match=needs):
        row.save(saved.baseline, tmp_path / "out")
    with pytest.raises(ValueError, match=needs):
        row.load(saved.root / "fp32")
    assert list(tmp_path.iterdir()) == []
    assert QUANTIZERS["fp32"].unavailable() == ""


@pytest.mark.parametrize("there", [False, True])
def test_a_failing_quantizer_leaves_nothing_behind(tiny: Path, tmp_path: Path, there: bool) -> None:
    """An error half way, after files were written: `out` is as it was, and nothing lies beside it."""

    def half(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
        (out / "model.safetensors").write_bytes(b"half")
        raise MemoryError

    out = tmp_path / "out"
    if there:
        out.mkdir()
    with pytest.raises(MemoryError):
        replace(QUANTIZERS["fp32"], write=half).save(tiny, out)
    assert [path.name for path in tmp_path.rglob("*")] == (["out"] if there else [])
    QUANTIZERS["fp32"].save(tiny, out)
    assert read_card(out).quantizer == "fp32"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
