"""qbias.quantizers: every row of the table saves, loads, stays the same in another process, and says what it covered."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qbias.encoder import Encoder, Pixels, Rows
from qbias.quantizers import QUANTIZERS, Coverage, load_encoder, read_card, weights_sha256
from tests.tiny import CONTEXT, RESOLUTION, tiny_clip

FLOOR = {"fp32": 0.999999, "bnb-int8": 0.999, "bnb-nf4": 0.95, "torch-int8": 0.99, "ort-int8": 0.99}
"""Least cosine with fp32, over all test images and texts, of each row."""
TEXTS = ["a photo of the robot", "photo of a photo", "", "x", "Ünïcode ☃ " * 20] * 2
FRESH = """
import sys
import numpy as np
import tokenizers, torch, transformers, bitsandbytes, onnxruntime, accelerate
from pathlib import Path
from qbias.quantizers import load_encoder

def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "pickle.find_class"):
        raise RuntimeError(f"{event} {arguments} while a model was loaded or used")

sys.addaudithook(guard)
given = np.load(sys.argv[1], allow_pickle=False)
rows = {}
for folder in map(Path, sys.argv[3:]):
    encoder = load_encoder(folder)
    rows[f"{folder.name}/images"] = encoder.images(given["pixels"])
    rows[f"{folder.name}/texts"] = encoder.texts([str(text) for text in given["texts"]])
with open(sys.argv[2], "wb") as file:
    np.savez(file, **rows)
"""


def pixels(count: int, seed: int = 0) -> Pixels:
    """Noise images with flat areas, as a model sees them."""
    generator = np.random.default_rng(seed)
    shape = (count, RESOLUTION // 8, RESOLUTION // 8, 3)
    coarse = generator.integers(0, 256, shape, dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2))


@dataclass(frozen=True)
class Saved:
    """Every row of the table, saved once from the same baseline."""

    baseline: Path
    root: Path
    coverage: dict[str, Coverage]
    images: dict[str, Rows]
    texts: dict[str, Rows]

    def encoder(self, name: str) -> Encoder:
        """A newly loaded Encoder of a row."""
        return load_encoder(self.root / name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Save every row and embed the same batch with each."""
    root = tmp_path_factory.mktemp("quantizers")
    baseline = tiny_clip(tmp_path_factory.mktemp("baseline"))
    coverage = {name: row.save(baseline, root / name) for name, row in QUANTIZERS.items()}
    encoders = {name: row.load(root / name) for name, row in QUANTIZERS.items()}
    return Saved(
        baseline,
        root,
        coverage,
        {name: encoder.images(pixels(16)) for name, encoder in encoders.items()},
        {name: encoder.texts(TEXTS) for name, encoder in encoders.items()},
    )


@pytest.mark.parametrize("name", QUANTIZERS)
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
    """Another process and working directory, as many threads, no network, no unpickling: the same bits from every row."""
    import torch

    np.savez(tmp_path / "given.npz", pixels=pixels(16), texts=np.array(TEXTS))
    folders = [str(saved.root / name) for name in QUANTIZERS]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", FRESH, str(tmp_path / "given.npz"), str(tmp_path / "rows.npz"), *folders]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = np.load(tmp_path / "rows.npz", allow_pickle=False)
    for name in QUANTIZERS:
        np.testing.assert_array_equal(rows[f"{name}/images"], saved.images[name], err_msg=name)
        np.testing.assert_array_equal(rows[f"{name}/texts"], saved.texts[name], err_msg=name)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_batch_dependence_is_as_stated(saved: Saved, name: str) -> None:
    """A row that says its results stand alone gives the same alone; dynamic int8 does not (LLM.int8() only beyond its threshold)."""
    alone = np.concatenate([saved.encoder(name).images(one[None]) for one in pixels(16)])
    distance = np.abs(alone - saved.images[name]).max()
    if name in ("torch-int8", "ort-int8"):
        assert QUANTIZERS[name].batch_dependent
        assert distance > 1e-5
    if not QUANTIZERS[name].batch_dependent:
        # bfloat16 products (nf4 on some CPUs) are summed in an order that depends on the number of rows.
        assert distance < (1e-5 if name == "fp32" else 2e-2)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_coverage_is_as_the_protocol_says(saved: Saved, name: str) -> None:
    """Two towers of two layers with six products each, and two projections; bitsandbytes leaves text_projection in float."""
    coverage = saved.coverage[name]
    left = {"fp32": 26, "bnb-int8": 1, "bnb-nf4": 1}.get(name, 0)
    assert (coverage.total, coverage.quantized, len(coverage.kept_float)) == (26, 26 - left, left)
    if left == 1:
        assert coverage.kept_float == ("text_projection",)
    products = 4 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 64 * 64
    assert coverage.parameters_quantized == {26: 0, 1: products - 64 * 64, 0: products}[left]
    assert coverage.parameters_total == saved.coverage["fp32"].parameters_total
    assert read_card(saved.root / name).coverage == coverage


def stored(folder: Path) -> dict[str, int]:
    """Entries by type of number over all weight files, small ones (scales, shapes, zero points) left out."""
    import onnx
    from safetensors import safe_open

    found: list[tuple[str, int]] = []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            slices = [tensors.get_slice(name) for name in tensors.keys()]
        found += [(str(one.get_dtype()), int(np.prod(one.get_shape()))) for one in slices]
    for file in folder.glob("*.onnx"):
        for one in onnx.load(file).graph.initializer:
            found.append((onnx.TensorProto.DataType.Name(one.data_type), int(np.prod(one.dims))))
    return {kind: sum(size for one, size in found if one == kind and size >= 2048) for kind, _ in found}


@pytest.mark.parametrize(
    ("name", "kind", "share"),
    [
        ("fp32", "F32", 0.0),
        ("bnb-int8", "I8", 1.0),
        ("bnb-nf4", "U8", 0.5),
        ("torch-int8", "I8", 1.0),
        ("ort-int8", "INT8", 1.0),
    ],
)
def test_integers_are_stored_and_no_float_copy_of_them(saved: Saved, name: str, kind: str, share: float) -> None:
    """The quantized matrices are there as integers, once, and every float entry belongs to a layer that stays in float."""
    entries, coverage = stored(saved.root / name), saved.coverage[name]
    floats = sum(entries.get(one, 0) for one in ("F32", "F16", "BF16", "FLOAT", "FLOAT16"))
    if share:
        assert entries[kind] == share * coverage.parameters_quantized
    left = coverage.parameters_total - coverage.parameters_quantized
    assert 0.8 * left < floats <= left


def direct_torch(baseline: Path) -> Any:
    """PyTorch's own call on the baseline, without anything of ours."""
    import torch
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(baseline, dtype=torch.float32).eval()
    return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]


def direct_bnb(**options: Any) -> Callable[[Path], Any]:
    """Quantization while loading, as transformers documents it, never stored."""

    def load(baseline: Path) -> Any:
        import torch
        from transformers import BitsAndBytesConfig, CLIPModel

        config = BitsAndBytesConfig(**options)
        return CLIPModel.from_pretrained(baseline, dtype=torch.float32, device_map="cpu", quantization_config=config).eval()

    return load


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:.*quantize:UserWarning")
@pytest.mark.parametrize(
    ("name", "direct"),
    [
        ("torch-int8", direct_torch),
        ("bnb-int8", direct_bnb(load_in_8bit=True)),
        ("bnb-nf4", direct_bnb(load_in_4bit=True, bnb_4bit_quant_type="nf4")),
    ],
)
def test_storing_changes_no_bit(saved: Saved, name: str, direct: Callable[[Path], Any]) -> None:
    """The stored and reloaded model equals the library's own model that was never stored, fed by torchvision's normalisation."""
    import torch
    from torchvision.transforms import Compose, Normalize, ToTensor

    card = read_card(saved.root / name)
    transform = Compose([ToTensor(), Normalize(card.preprocessing.mean, card.preprocessing.std)])
    with torch.inference_mode():
        feature_ND = direct(saved.baseline).get_image_features(torch.stack([transform(one) for one in pixels(16)]))
    rows = (feature_ND / feature_ND.norm(dim=-1, keepdim=True)).numpy()
    np.testing.assert_array_equal(rows, saved.images[name])


def test_onnx_integers_are_those_of_onnxruntime(saved: Saved, tmp_path: Path) -> None:
    """Optimum with our settings gives the same integer matrices as onnxruntime's own quantize_dynamic with constant weights only."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from qbias.quantizers import ort

    with ort._quiet_export():
        graph = ort._export(saved.baseline, "vision", tmp_path / "vision.onnx", 17)
    quantize_dynamic(graph, tmp_path / "own.onnx", op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)

    def integers(file: Path) -> dict[str, bytes]:
        constants = onnx.load(file).graph.initializer
        return {one.name: onnx.numpy_helper.to_array(one).tobytes() for one in constants if one.data_type == onnx.TensorProto.INT8}

    ours = integers(saved.root / "ort-int8" / "vision.onnx")
    assert ours == integers(tmp_path / "own.onnx")
    assert len(ours) > 13


def test_normalisation_is_torchvisions(saved: Saved) -> None:
    """Bit-equal to ToTensor and Normalize for all 256 values, with the usual constants and with one half."""
    import torch
    from torchvision.transforms import Compose, Normalize, ToTensor

    from qbias.encoder import Preprocessing
    from qbias.quantizers.torch_encoder import normalised

    values = np.arange(16 * 16 * 3, dtype=np.int64).astype(np.uint8).reshape(1, 16, 16, 3)
    for mean, std in [((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)), ((0.5,) * 3, (0.5,) * 3)]:
        expected = Compose([ToTensor(), Normalize(mean, std)])(values[0])
        assert torch.equal(normalised(values, Preprocessing(16, mean, std))[0], expected)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_changed_files_are_refused(saved: Saved, name: str, tmp_path: Path) -> None:
    """One changed byte, a missing file, a file too many: each is named, whichever file it is."""
    for number, file in enumerate(read_card(saved.root / name).files):
        folder = tmp_path / str(number)
        shutil.copytree(saved.root / name, folder)
        content = bytearray((folder / file).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / file).write_bytes(content)
        with pytest.raises(ValueError, match=f"{file} has changed"):
            load_encoder(folder)
        (folder / file).unlink()
        with pytest.raises(ValueError, match=f"{file} is missing"):
            QUANTIZERS[name].load(folder)
    shutil.copytree(saved.root / name, tmp_path / "more")
    (tmp_path / "more" / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"adapter_config\.json was not written"):
        load_encoder(tmp_path / "more")


def test_cards_that_cannot_be_used(saved: Saved, tmp_path: Path) -> None:
    """No card, a damaged one, another format, an unknown quantizer, another row's folder."""
    with pytest.raises(ValueError, match=r"has no qbias\.json"):
        load_encoder(tmp_path)
    with pytest.raises(ValueError, match="written by fp32, not by bnb-nf4"):
        QUANTIZERS["bnb-nf4"].load(saved.root / "fp32")
    shutil.copytree(saved.root / "fp32", tmp_path / "copy")
    card = json.loads((tmp_path / "copy" / "qbias.json").read_text())
    for change, message in [({"format": 0}, "has format 0"), ({"quantizer": "int3"}, "'int3', which this version")]:
        (tmp_path / "copy" / "qbias.json").write_text(json.dumps(card | change))
        with pytest.raises(ValueError, match=message):
            load_encoder(tmp_path / "copy")
    (tmp_path / "copy" / "qbias.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        load_encoder(tmp_path / "copy")


def test_saving_twice_gives_the_same_digest(saved: Saved, tmp_path: Path) -> None:
    """Weights are the same bytes however often they are made, and differ between rows and seeds."""
    digests = {name: weights_sha256(saved.root / name) for name in QUANTIZERS}
    for name, row in QUANTIZERS.items():
        row.save(saved.baseline, tmp_path / name)
        assert weights_sha256(tmp_path / name) == digests[name], name
    assert len(set(digests.values())) == len(QUANTIZERS)
    assert weights_sha256(tiny_clip(tmp_path / "other", seed=1)) != weights_sha256(saved.baseline)


def test_saving_refuses_what_is_no_baseline(saved: Saved, tmp_path: Path) -> None:
    """A folder without the files, another kind of model, an output folder in use."""
    row = QUANTIZERS["fp32"]
    with pytest.raises(ValueError, match=r"config\.json, preprocessor_config\.json, model\.safetensors missing"):
        row.save(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="is not empty"):
        row.save(saved.baseline, saved.root / "fp32")
    shutil.copytree(saved.baseline, tmp_path / "bert")
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="model_type 'bert'"):
        row.save(tmp_path / "bert", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", QUANTIZERS)
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


def test_a_model_without_direction_is_refused() -> None:
    """Rows that are zero, infinite or not a number give an error, never an embedding."""
    import torch

    from qbias.quantizers.torch_encoder import unit_rows

    for wrong in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="1 of 2 embeddings are not finite"):
            unit_rows(torch.tensor([[1.0, 2.0], [wrong, 0.0]]))


def test_rows_are_described() -> None:
    """Every row carries what a reader and the registry need; the table imports no runtime."""
    for name, row in QUANTIZERS.items():
        assert row.name == name
        assert all((row.source, row.library, row.runs_on, row.packages))
        assert 0 < row.bits <= 32
        assert json.loads(json.dumps(row.settings)) == row.settings
    assert next(iter(QUANTIZERS)) == "fp32"
    heavy = "torch", "transformers", "bitsandbytes", "onnxruntime", "optimum", "mlflow"
    check = f"import sys, qbias.quantizers; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "[]"


def test_texts_are_padded_and_cut_to_the_context(saved: Saved) -> None:
    """Every text becomes T tokens and keeps its end token."""
    from qbias.quantizers.torch_encoder import Tokenizer

    tokens = Tokenizer(saved.root / "fp32", CONTEXT)(TEXTS)
    assert (tokens.dtype.name, tokens.shape) == ("int64", (len(TEXTS), CONTEXT))
    assert (tokens[:, -1] == tokens.max()).all()


def test_a_missing_library_is_named() -> None:
    """A row whose library is not installed says so; the other rows go on."""
    from qbias.quantizers import torch_encoder

    with pytest.raises(ValueError, match="no-such-library is not installed: pip install no-such-library"):
        torch_encoder.installed_versions(("numpy", "no-such-library"))
