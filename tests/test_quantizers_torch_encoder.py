"""qbias.quantizers.torch_encoder: normalisation, tokens, unit rows, missing libraries."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.quantized import TEXTS
from tests.tiny import CONTEXT


def test_normalisation_is_torchvisions() -> None:
    """Bit-equal to ToTensor and Normalize for all 256 values, with the usual constants and with one half."""
    import torch
    from torchvision.transforms import Compose, Normalize, ToTensor

    from qbias.encoder import Preprocessing
    from qbias.quantizers.torch_encoder import normalised

    values = np.arange(16 * 16 * 3, dtype=np.int64).astype(np.uint8).reshape(1, 16, 16, 3)
    for mean, std in [((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)), ((0.5,) * 3, (0.5,) * 3)]:
        expected = Compose([ToTensor(), Normalize(mean, std)])(values[0])
        assert torch.equal(normalised(values, Preprocessing(16, mean, std))[0], expected)


def test_a_model_without_direction_is_refused() -> None:
    """Rows that are zero, infinite or not a number give an error, never an embedding."""
    import torch

    from qbias.quantizers.torch_encoder import unit_rows

    for wrong in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="1 of 2 embeddings are not finite"):
            unit_rows(torch.tensor([[1.0, 2.0], [wrong, 0.0]]))


def test_texts_are_padded_and_cut_to_the_context(tiny: Path) -> None:
    """Every text becomes T tokens and keeps its end token."""
    from qbias.quantizers.torch_encoder import Tokenizer

    tokens = Tokenizer(tiny, CONTEXT)(TEXTS)
    assert (tokens.dtype.name, tokens.shape) == ("int64", (len(TEXTS), CONTEXT))
    assert (tokens[:, -1] == tokens.max()).all()


def test_a_missing_library_is_named() -> None:
    """A row whose library is not installed says so."""
    from qbias.quantizers import torch_encoder

    with pytest.raises(ValueError, match="no-such-library is not installed: pip install no-such-library"):
        torch_encoder.installed_versions(("numpy", "no-such-library"))


def test_a_damaged_tokenizer_is_refused(tiny: Path, tmp_path: Path) -> None:
    """Missing files, files that hold something else, and the tokenizer of a model with more words."""
    from qbias.quantizers.torch_encoder import write_tokenizer

    def copied(name: str) -> Path:
        return Path(shutil.copytree(tiny, tmp_path / name))

    bare, other, foreign = copied("bare"), copied("other"), copied("foreign")
    for file in bare.iterdir():
        if file.name not in ("config.json", "model.safetensors", "preprocessor_config.json"):
            file.unlink()
    (other / "tokenizer.json").write_text("{")
    config = json.loads((foreign / "config.json").read_text())
    config["text_config"]["vocab_size"] -= 1
    (foreign / "config.json").write_text(json.dumps(config))
    for folder, message in [(bare, "no tokenizer that can be read"), (other, "no tokenizer that can be read"), (foreign, "up to")]:
        with pytest.raises(ValueError, match=message):
            write_tokenizer(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
