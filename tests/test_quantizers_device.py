"""qbias.quantizers.device: one device for a whole run; what needs a GPU is tested where there is one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qbias.embed import batches, image_run
from qbias.encoder import Preprocessing
from qbias.environment import batch_workers, machine_facts, quantizers_named
from qbias.quantizers import QUANTIZERS
from qbias.quantizers.device import chosen_device, device_facts, device_fault, ready_device
from qbias.quantizers.torch_encoder import normalised
from tests.quantized import TEXTS, pixels

GPU = torch.cuda.is_available()
CLOSE = {"fp32": 1e-5, "bnb-int8": 2e-2, "bnb-nf4": 2e-2, "bnb-fp4": 2e-2}
"""Largest difference of an embedding's entry between GPU and CPU. bitsandbytes multiplies in other number formats on the two."""
ON_GPU = [name for name, row in QUANTIZERS.items() if "cuda" in row.runs_on]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device is named, whatever the environment of the tests says."""
    monkeypatch.delenv("QBIAS_DEVICE", raising=False)


def test_the_cpu_is_chosen_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset or empty is the CPU, which adds no fact; an unknown device is refused with those there are."""
    for value in (None, "", "cpu"):
        if value is not None:
            monkeypatch.setenv("QBIAS_DEVICE", value)
        assert (chosen_device(), device_fault(), ready_device(), device_facts()) == ("cpu", "", "cpu", {})
    monkeypatch.setenv("QBIAS_DEVICE", "mps")
    for ask in (chosen_device, machine_facts, QUANTIZERS["fp32"].unavailable):
        with pytest.raises(ValueError, match="QBIAS_DEVICE='mps': give one of cpu, cuda, or leave it unset"):
            ask()


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    """Asking for it names what is needed, before anything is written or measured; no row can run."""
    QUANTIZERS["fp32"].save(tiny, tmp_path / "fp32")
    monkeypatch.setenv("QBIAS_DEVICE", "cuda")
    message = "QBIAS_DEVICE=cuda needs an NVIDIA GPU, and torch finds none here: leave the variable unset"
    for name in ON_GPU:
        with pytest.raises(ValueError, match=message):
            QUANTIZERS[name].save(tiny, tmp_path / "out")
    with pytest.raises(ValueError, match=message):
        QUANTIZERS["fp32"].load(tmp_path / "fp32")
    with pytest.raises(ValueError, match=message):
        machine_facts()
    assert [path.name for path in tmp_path.iterdir()] == ["fp32"]


@pytest.mark.parametrize(
    ("device", "name", "remedy"), [("cpu", "fp16", "set QBIAS_DEVICE=cuda"), ("cuda", "ort-int8", "leave QBIAS_DEVICE unset")]
)
def test_a_row_runs_on_the_chosen_device_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path, device: str, name: str, remedy: str
) -> None:
    """Otherwise a pair's two sides could be measured on two devices while the record names one."""
    monkeypatch.setenv("QBIAS_DEVICE", device)
    with pytest.raises(ValueError, match=rf"{name} runs on \w+ only, not on {device}: {remedy}.*, or leave {name} out"):
        QUANTIZERS[name].save(tiny, tmp_path / "out")
    with pytest.raises(ValueError, match=f"{name} runs on"):
        quantizers_named(f"fp32,{name}")
    assert not (tmp_path / "out").exists()


def test_float16_has_a_largest_number(tiny: Path, tmp_path: Path) -> None:
    """What fp16 stores is float16, half the bytes; a weight that it cannot hold is named. Writing needs no GPU."""
    from safetensors.torch import load_file, save_file

    from qbias.quantizers import plain

    (tmp_path / "half").mkdir()
    coverage = plain.write_half(tiny, tmp_path / "half", QUANTIZERS["fp16"].settings)
    assert (coverage.quantized, coverage.kept_float) == (coverage.total, ())
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    wide = tmp_path / "wide"
    wide.mkdir()
    for file in tiny.iterdir():
        (wide / file.name).write_bytes(file.read_bytes())
    tensors = {name: tensor.float() for name, tensor in load_file(wide / "model.safetensors").items()}
    tensors["visual_projection.weight"][0, 0] = 70_000
    save_file(tensors, wide / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"'visual_projection\.weight' holds 1 .* it goes beyond float16's range of 65504; leave fp16 out"):
        plain.write_half(wide, tmp_path / "half", QUANTIZERS["fp16"].settings)


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The GPU is chosen; the process's precision settings are put back afterwards."""
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    flags = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    monkeypatch.setenv("QBIAS_DEVICE", "cuda")
    yield
    torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU")
def test_the_gpu_is_a_fact(on_gpu: None) -> None:
    """Chip and CUDA release are recorded, so a pair measured on two devices is refused; one batch at a time; float32 is float32."""
    facts = machine_facts()
    assert (facts["device"], facts["device_name"]) == ("cuda", torch.cuda.get_device_name())
    assert batch_workers() == 1
    assert [row.name for row in quantizers_named("all")] == ON_GPU
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "ieee"  # type: ignore[attr-defined]


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", ON_GPU)
def test_a_gpu_gives_what_the_cpu_gives(name: str, tiny: Path, tmp_path: Path, on_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same stored bytes, made on the CPU; embeddings within the tolerance above, and the same at every call."""
    QUANTIZERS[name].save(tiny, tmp_path / "saved")
    encoder = QUANTIZERS[name].load(tmp_path / "saved")
    image_ND, text_ND = encoder.images(pixels(16)), encoder.texts(TEXTS)
    again = QUANTIZERS[name].load(tmp_path / "saved")
    np.testing.assert_array_equal(again.images(pixels(16)), image_ND)
    np.testing.assert_array_equal(again.texts(TEXTS), text_ND)
    assert (image_ND.dtype, image_ND.shape) == (np.float32, (16, encoder.width))
    np.testing.assert_allclose(np.linalg.norm(image_ND, axis=1), 1, atol=1e-6)
    assert encoder.images(pixels(0)).shape == (0, encoder.width)
    reference = "fp32" if name == "fp16" else name
    monkeypatch.setenv("QBIAS_DEVICE", "cpu")
    QUANTIZERS[reference].save(tiny, tmp_path / "cpu")
    if name == reference:
        weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("saved", "cpu")]
        assert weights[0] == weights[1]
    on_cpu = QUANTIZERS[reference].load(tmp_path / "cpu")
    tolerance = CLOSE.get(name, 1e-2)
    np.testing.assert_allclose(image_ND, on_cpu.images(pixels(16)), atol=tolerance)
    np.testing.assert_allclose(text_ND, on_cpu.texts(TEXTS), atol=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU")
def test_pixels_are_normalised_on_the_gpu_to_the_bits_of_the_cpu() -> None:
    preprocessing = Preprocessing(64, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    every = np.arange(256, dtype=np.uint8).repeat(16 * 3).reshape(1, 64, 64, 3)
    here, there = normalised(every, preprocessing), normalised(torch.from_numpy(every).cuda(), preprocessing)
    assert torch.equal(here, there.cpu())


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", ON_GPU)
def test_batches_loaded_ahead_give_what_batches_one_by_one_give(name: str, tiny: Path, tmp_path: Path, on_gpu: None) -> None:
    """Copies run beside the computation: none may be read before it has arrived, or written over before it was used."""
    QUANTIZERS[name].save(tiny, tmp_path / "saved")
    encoder = QUANTIZERS[name].load(tmp_path / "saved")
    assert encoder.staged  # type: ignore[attr-defined]
    pixel_NRR3, pieces = pixels(200), list(batches(200, 8))
    expected = [encoder.images(pixel_NRR3[piece]) for piece in pieces]
    for _ in range(5):
        for found, row_ND in zip(image_run(encoder, pixel_NRR3, np.arange(200))(pieces), expected, strict=True):
            np.testing.assert_array_equal(found, row_ND)
