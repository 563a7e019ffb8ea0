"""QUANTIZERS: every precision a CLIP can be registered in, a row each. Importing this imports no runtime.

To add one: a `write` and a `read` function in the library's file, and a row here. `write` puts the model as the method stores it into a
folder; `read` makes an Encoder of such a folder. The rest (tokenizer, preprocessing, digests, checks) is the same for all.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qbias.digests import folder_digests
from qbias.encoder import Encoder
from qbias.preprocess import PREPROCESSING, read_preprocessing
from qbias.quantizers import bnb, ort, plain, torch_ao, torch_dynamic
from qbias.quantizers.artifact import Card, Coverage, read_card, weights_sha256, write_card
from qbias.quantizers.baseline import check_baseline, check_resolution
from qbias.quantizers.device import VARIABLE, chosen_device, device_fault
from qbias.quantizers.torch_encoder import context_length, installed_versions, missing_packages, write_tokenizer

__all__ = ["QUANTIZERS", "Coverage", "Quantizer", "load_encoder", "read_card", "weights_sha256"]

# transformers imports torchao where it is installed, and torchao's import says at every start what a future torch will refuse.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)

TORCH = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow")
BNB = (*TORCH, "bitsandbytes", "accelerate")
FOUR_BITS = {"load_in_4bit": True, "bnb_4bit_use_double_quant": False, "bnb_4bit_compute_dtype": "float32"}


@dataclass(frozen=True)
class Quantizer:
    """One precision: how a baseline becomes a folder of this precision, and the folder an Encoder.

    Attributes
    ----------
    name : row name. library : whose method it is. source : where the method is described.
    packages : distributions that `load` needs; their versions are part of a version's content.
    settings : every choice the library leaves open (JSON values). bits : of the quantized weights.
    batch_dependent : whether an embedding depends on what else is in its batch. runs_on : devices.
    write, read : the library's part of `save` and `load`.
    """

    name: str
    library: str
    packages: tuple[str, ...]
    settings: Mapping[str, Any]
    bits: int
    batch_dependent: bool
    runs_on: tuple[str, ...]
    source: str
    write: Callable[[Path, Path, Mapping[str, Any]], Coverage]
    read: Callable[[Path, Card], Encoder]

    def unavailable(self) -> str:
        """Why this row cannot run here, and what to do about it; empty if it can.

        A row needs its packages, and the device that `QBIAS_DEVICE` names (the CPU, unless it says cuda).

        Raises
        ------
        ValueError
            If `QBIAS_DEVICE` names no device.
        """
        if missing := missing_packages(self.packages):
            return f"{self.name} cannot run here: {missing}, or leave {self.name} out"
        if (device := chosen_device()) not in self.runs_on:
            need = f"set {VARIABLE}=cuda on a machine with an NVIDIA GPU" if device == "cpu" else f"leave {VARIABLE} unset"
            return f"{self.name} runs on {self.runs_on[0]} only, not on {device}: {need}, or leave {self.name} out"
        return device_fault()

    def save(self, baseline: Path, out: Path) -> Coverage:
        """Quantize the CLIPModel folder `baseline` into `out`, whole or not at all; what was covered.

        Parameters
        ----------
        baseline : a transformers CLIPModel folder. out : must not exist, or be empty.

        Raises
        ------
        ValueError
            If this row cannot run here, `baseline` is not a whole CLIPModel folder with finite weights, or `out` holds something.
        """
        self._check_here()
        check_baseline(baseline)
        preprocessing = read_preprocessing(baseline)
        check_resolution(baseline, preprocessing)
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty: give a new folder for the quantized model")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            beside = Path(scratch) / out.name
            beside.mkdir()
            coverage = self.write(baseline, beside, self.settings)
            write_tokenizer(baseline, beside)
            shutil.copyfile(baseline / PREPROCESSING, beside / PREPROCESSING)
            card = Card(
                self.name,
                self.settings,
                preprocessing,
                context_length(baseline),
                coverage,
                installed_versions(self.packages),
                folder_digests(beside),
            )
            write_card(beside, card)
            for file in beside.rglob("*"):
                # safetensors writes files that only their owner may read; a registry is shared.
                file.chmod(0o755 if file.is_dir() else 0o644)
            beside.rename(out)
        return coverage

    def load(self, folder: Path) -> Encoder:
        """The Encoder of a folder that `save` wrote, after every file's digest was checked. No network, no pickle.

        Raises
        ------
        ValueError
            If a file was changed, the folder was written by another quantizer, or this row cannot run here.
        """
        card = read_card(folder)
        if card.quantizer != self.name:
            raise ValueError(f"{folder} was written by {card.quantizer}, not by {self.name}: use load_encoder")
        self._check_here()
        return self.read(folder, card)

    def _check_here(self) -> None:
        if reason := self.unavailable():
            raise ValueError(reason)


def load_encoder(folder: Path) -> Encoder:
    """The Encoder of any folder that a quantizer of this table wrote.

    Raises
    ------
    ValueError
        If a file was changed, the table has no such quantizer, or the row cannot run here.
    """
    card = read_card(folder)
    if card.quantizer not in QUANTIZERS:
        known = ", ".join(QUANTIZERS)
        raise ValueError(f"{folder} was written by {card.quantizer!r}, which this version of qbias lacks; it has {known}")
    row = QUANTIZERS[card.quantizer]
    row._check_here()
    return row.read(folder, card)


QUANTIZERS = {
    row.name: row
    for row in (
        Quantizer(
            name="fp32",
            library="torch",
            packages=TORCH,
            settings={"dtype": "float32"},
            bits=32,
            batch_dependent=False,
            runs_on=("cpu", "cuda"),
            source="the baseline itself",
            write=plain.write,
            read=plain.read,
        ),
        Quantizer(
            name="fp16",
            library="torch",
            packages=TORCH,
            settings={"dtype": "float16"},
            bits=16,
            batch_dependent=False,
            runs_on=("cuda",),
            source="IEEE 754 half precision, https://docs.pytorch.org/docs/stable/tensors.html",
            write=plain.write_half,
            read=plain.read,
        ),
        Quantizer(
            name="bnb-int8",
            library="bitsandbytes",
            packages=BNB,
            settings={"load_in_8bit": True, "llm_int8_threshold": 6.0},
            bits=8,
            batch_dependent=True,
            runs_on=("cpu", "cuda"),
            source="Dettmers et al. 2022, LLM.int8(), https://arxiv.org/abs/2208.07339",
            write=bnb.write,
            read=bnb.read,
        ),
        Quantizer(
            name="bnb-nf4",
            library="bitsandbytes",
            packages=BNB,
            settings=FOUR_BITS | {"bnb_4bit_quant_type": "nf4"},
            bits=4,
            batch_dependent=False,
            runs_on=("cpu", "cuda"),
            source="Dettmers et al. 2023, QLoRA, https://arxiv.org/abs/2305.14314",
            write=bnb.write,
            read=bnb.read,
        ),
        Quantizer(
            name="bnb-fp4",
            library="bitsandbytes",
            packages=BNB,
            settings=FOUR_BITS | {"bnb_4bit_quant_type": "fp4"},
            bits=4,
            batch_dependent=False,
            runs_on=("cpu", "cuda"),
            source="Dettmers et al. 2023, QLoRA, https://arxiv.org/abs/2305.14314",
            write=bnb.write,
            read=bnb.read,
        ),
        Quantizer(
            name="torch-int8",
            library="torch",
            packages=TORCH,
            settings={"dtype": "qint8", "modules": ["Linear"]},
            bits=8,
            batch_dependent=True,
            runs_on=("cpu",),
            source="PyTorch dynamic quantization, https://docs.pytorch.org/docs/stable/quantization.html",
            write=torch_dynamic.write,
            read=torch_dynamic.read,
        ),
        Quantizer(
            name="torchao-int8",
            library="torchao",
            packages=(*TORCH, "torchao"),
            settings=torch_ao.SETTINGS,
            bits=8,
            batch_dependent=False,
            runs_on=("cpu",),
            source="torchao, https://docs.pytorch.org/ao/stable/",
            write=torch_ao.write,
            read=torch_ao.read,
        ),
        Quantizer(
            name="ort-int8",
            library="onnxruntime",
            packages=(*TORCH, "onnxruntime", "onnx", "optimum-onnx"),
            settings=ort.SETTINGS,
            bits=8,
            batch_dependent=True,
            runs_on=("cpu",),
            source="ONNX Runtime, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
            write=ort.write,
            read=ort.read,
        ),
    )
}
