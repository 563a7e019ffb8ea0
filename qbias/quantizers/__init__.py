"""QUANTIZERS: every precision a CLIP can be registered in, a row each. Importing this imports no runtime.

To add one: a `write` and a `read` function in the library's file, and a row here. `write` puts the model as the method stores it into a
folder; `read` makes an Encoder of such a folder. The rest (tokenizer, preprocessing, digests, checks) is the same for all.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qbias.digests import folder_digests
from qbias.encoder import Encoder
from qbias.preprocess import PREPROCESSING, read_preprocessing
from qbias.quantizers import bnb, ort, plain, torch_dynamic
from qbias.quantizers.artifact import Card, Coverage, check_baseline, read_card, weights_sha256, write_card
from qbias.quantizers.torch_encoder import context_length, installed_versions, write_tokenizer

__all__ = ["QUANTIZERS", "Coverage", "Quantizer", "load_encoder", "read_card", "weights_sha256"]

TORCH = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow")


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

    def save(self, baseline: Path, out: Path) -> Coverage:
        """Quantize the CLIPModel folder `baseline` into `out`, which must not exist or be empty; what was covered.

        Raises
        ------
        ValueError
            If `baseline` is not a CLIPModel folder, or `out` holds something.
        """
        check_baseline(baseline)
        preprocessing = read_preprocessing(baseline)
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty: give a new folder for the quantized model")
        out.mkdir(parents=True, exist_ok=True)
        coverage = self.write(baseline, out, self.settings)
        write_tokenizer(baseline, out)
        shutil.copyfile(baseline / PREPROCESSING, out / PREPROCESSING)
        card = Card(
            self.name,
            self.settings,
            preprocessing,
            context_length(baseline),
            coverage,
            installed_versions(self.packages),
            folder_digests(out),
        )
        write_card(out, card)
        return coverage

    def load(self, folder: Path) -> Encoder:
        """The Encoder of a folder that `save` wrote, after every file's digest was checked. No network, no pickle.

        Raises
        ------
        ValueError
            If a file was changed, or the folder was written by another quantizer.
        """
        card = read_card(folder)
        if card.quantizer != self.name:
            raise ValueError(f"{folder} was written by {card.quantizer}, not by {self.name}: use load_encoder")
        return self.read(folder, card)


def load_encoder(folder: Path) -> Encoder:
    """The Encoder of any folder that a quantizer of this table wrote.

    Raises
    ------
    ValueError
        If a file was changed, or the table has no such quantizer.
    """
    card = read_card(folder)
    if card.quantizer not in QUANTIZERS:
        known = ", ".join(QUANTIZERS)
        raise ValueError(f"{folder} was written by {card.quantizer!r}, which this version of qbias lacks; it has {known}")
    return QUANTIZERS[card.quantizer].read(folder, card)


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
            runs_on=("cpu",),
            source="the baseline itself",
            write=plain.write,
            read=plain.read,
        ),
        Quantizer(
            name="bnb-int8",
            library="bitsandbytes",
            packages=(*TORCH, "bitsandbytes", "accelerate"),
            settings={"load_in_8bit": True, "llm_int8_threshold": 6.0},
            bits=8,
            batch_dependent=True,
            runs_on=("cpu",),
            source="Dettmers et al. 2022, LLM.int8(), https://arxiv.org/abs/2208.07339",
            write=bnb.write,
            read=bnb.read,
        ),
        Quantizer(
            name="bnb-nf4",
            library="bitsandbytes",
            packages=(*TORCH, "bitsandbytes", "accelerate"),
            settings={
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": False,
                "bnb_4bit_compute_dtype": "float32",
            },
            bits=4,
            batch_dependent=False,
            runs_on=("cpu",),
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
            name="ort-int8",
            library="onnxruntime",
            packages=(*TORCH, "onnxruntime", "onnx", "optimum-onnx"),
            settings={
                "opset": 17,
                "operators_to_quantize": ["MatMul"],
                "constant_weights_only": True,
                "per_channel": False,
                "weight_type": "QInt8",
                "weights_symmetric": True,
                "activation_type": "QUInt8",
                "activations_symmetric": False,
                "reduce_range": False,
            },
            bits=8,
            batch_dependent=True,
            runs_on=("cpu",),
            source="ONNX Runtime, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
            write=ort.write,
            read=ort.read,
        ),
    )
}
