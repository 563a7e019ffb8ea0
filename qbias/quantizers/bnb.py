"""bitsandbytes: LLM.int8(), NF4 and FP4, through transformers.

Every Linear but `text_projection` is replaced (transformers leaves the last one in float); embeddings, patch convolution, attention
products and layer norms stay in float32. int8: weights int8 with one scale per output row; activations are rounded to float16, then
to int8 row by row, except columns holding a value of 6 or more, which are multiplied in float. Those columns are chosen over the whole
*batch*, so a result can depend on it. nf4, fp4: blocks of 64 weights share a scale and 16 levels, spaced by normal quantiles (nf4) or
4-bit floats of sign, two bits of exponent and one of mantissa (fp4, the library's default); only weights are rounded, and no result
depends on the batch. Stored: the packed weights as bitsandbytes keeps them, in safetensors, made on the CPU.
On a CPU with AVX512-BF16 the library multiplies nf4 and fp4 in bfloat16 with a kernel of its own, elsewhere in float32; on a GPU
(`QBIAS_DEVICE=cuda`) in float32, and int8 with the library's CUDA kernels.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qbias.encoder import Encoder
from qbias.quantizers.artifact import Card, Coverage
from qbias.quantizers.device import ready_device
from qbias.quantizers.torch_encoder import TorchEncoder, clip_coverage, load_clip


def write(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Quantize while loading, and store the packed weights."""
    from transformers import BitsAndBytesConfig

    bnb = _bitsandbytes()
    config = BitsAndBytesConfig(**settings)
    model = load_clip(baseline, quantization_config=config, device_map="cpu")
    # Before any forward pass: the first one may repack nf4 weights for this very CPU.
    model.save_pretrained(out)
    kinds = (bnb.nn.Linear8bitLt, bnb.nn.Linear4bit)
    return clip_coverage(baseline, [name for name, module in model.named_modules() if isinstance(module, kinds)])


def read(folder: Path, card: Card) -> Encoder:
    """The Encoder of stored packed weights; bit-identical to the model that was stored."""
    _bitsandbytes()
    return TorchEncoder(load_clip(folder, device_map={"": ready_device()}), folder, card)


def _bitsandbytes() -> Any:
    """The library, imported without its optional download.

    On AVX512-BF16 it fetches a kernel from the model hub while importing, if the package `kernels` is installed. A version reaches
    no network, and results must not depend on it, so that package is hidden during the import and the built-in kernel is used.
    """
    if "bitsandbytes" in sys.modules:
        return sys.modules["bitsandbytes"]
    hidden = sys.modules.pop("kernels", None)
    sys.modules["kernels"] = None  # type: ignore[assignment]
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import bitsandbytes
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if hidden is not None:
            sys.modules["kernels"] = hidden
    # It says at every product that float32 inputs are rounded to float16; that is the method, and stands above.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return bitsandbytes
