"""qbias.quantizers.artifact: integers are what is stored, and a folder that is not what was written is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qbias.quantizers import QUANTIZERS, load_encoder, read_card
from tests.quantized import ROWS, Saved, saved

__all__ = ["saved"]


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
        ("bnb-fp4", "U8", 0.5),
        ("torch-int8", "I8", 1.0),
        ("torchao-int8", "I8", 1.0),
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


@pytest.mark.parametrize("name", ROWS)
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
    less = [{key: value for key, value in card.items() if key != left} for left in ("preprocessing", "files", "settings")]
    more = [card | {"coverage": None}, card | {"files": [1]}, card | {"preprocessing": {}}, card | {"else": 1}]
    for text in ["{", "3", "[" * 100_000, *map(json.dumps, less + more)]:
        (tmp_path / "copy" / "qbias.json").write_text(text)
        with pytest.raises(ValueError, match=r"qbias\.json is damaged .*register the version again"):
            load_encoder(tmp_path / "copy")
