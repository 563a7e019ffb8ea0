"""qbias.quantizers.baseline: a folder that is no whole CLIPModel in float is refused, and nothing is made of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qbias.quantizers import QUANTIZERS

if TYPE_CHECKING:
    import torch

ROW = QUANTIZERS["fp32"]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
NAME = "text_model.encoder.layers.0.mlp.fc1.weight"
Tensors = dict[str, "torch.Tensor"]


@pytest.fixture
def baseline(tiny: Path, tmp_path: Path) -> Path:
    """A copy of a baseline, to be damaged."""
    return Path(shutil.copytree(tiny, tmp_path / "baseline"))


def refused(baseline: Path, message: str) -> None:
    """The baseline is refused with `message`, and no file appears beside it."""
    out = baseline.parent / "out"
    with pytest.raises(ValueError, match=message):
        ROW.save(baseline, out)
    assert [path.name for path in baseline.parent.iterdir()] == [baseline.name]


def changed(file: Path, change: Callable[[Tensors], Any]) -> None:
    """Write the tensors of `file` again after `change`."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def configured(baseline: Path, section: str | None = None, **values: Any) -> None:
    """Change values of config.json."""
    config = json.loads((baseline / "config.json").read_text())
    (config if section is None else config[section]).update(values)
    (baseline / "config.json").write_text(json.dumps(config))


def sharded(baseline: Path) -> list[Path]:
    """The same model in several files."""
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(baseline, dtype="auto")
    (baseline / WEIGHTS).unlink()
    model.save_pretrained(baseline, max_shard_size="200KB")
    return sorted(baseline.glob("model-*.safetensors"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(baseline: Path, value: float) -> None:
    """One value among all is enough; tensor and count are named."""

    def spoil(tensors: Tensors) -> None:
        tensors[NAME][5, 7] = value

    changed(baseline / WEIGHTS, spoil)
    refused(baseline, rf"model\.safetensors: tensor '{NAME}' holds 1 NaN or infinite values of 8192: fetch the weights again")


@pytest.mark.parametrize("left", [0, 4, 100, 3000, -1])
def test_truncated_weights(baseline: Path, left: int) -> None:
    """Cut anywhere: empty, in the length, in the header, in the first tensor, by one byte."""
    content = (baseline / WEIGHTS).read_bytes()
    (baseline / WEIGHTS).write_bytes(content[:left])
    refused(baseline, r"model\.safetensors is truncated or damaged .*: fetch it again")


def test_a_corrupt_header(baseline: Path) -> None:
    """A file that is no safetensors at all, and one whose header is no JSON."""
    content = (baseline / WEIGHTS).read_bytes()
    for wrong in (b"PK\x03\x04" * 1000, content[:8] + b"?" + content[9:]):
        (baseline / WEIGHTS).write_bytes(wrong)
        refused(baseline, r"model\.safetensors is truncated or damaged")


def test_tensors_that_do_not_match_the_config(baseline: Path, tiny: Path) -> None:
    """Missing, unexpected, of another shape, of integers: the first is named."""
    import torch

    cases: list[tuple[Callable[[Tensors], Any], str]] = [
        (lambda tensors: tensors.pop(NAME), f"the weights lack '{NAME}', which config.json describes: transformers would draw it"),
        (lambda tensors: [tensors.pop(name) for name in (NAME, "logit_scale")], "the weights lack 'logit_scale' and 1 more"),
        (lambda tensors: tensors.update(extra=torch.ones(2)), "model.safetensors holds 'extra', which config.json does not describe"),
        (lambda tensors: tensors.update({NAME: torch.ones(2, 2)}), rf"'{NAME}' has shape \(2, 2\), config.json describes \(128, 64\)"),
        (
            lambda tensors: tensors.update({NAME: torch.ones(128, 64, dtype=torch.int8)}),
            f"'{NAME}' is torch.int8, a baseline needs float weights",
        ),
    ]
    for change, message in cases:
        shutil.copyfile(tiny / WEIGHTS, baseline / WEIGHTS)
        changed(baseline / WEIGHTS, change)
        refused(baseline, message)


def test_a_config_of_another_model(baseline: Path) -> None:
    """A layer more, a layer less, other widths: found among the weights, though transformers would go on."""
    before = (baseline / "config.json").read_text()
    for values, message in [
        ({"num_hidden_layers": 3}, "lack 'text_model.encoder.layers.2"),
        ({"num_hidden_layers": 1}, "holds 'text_model.encoder.layers.1"),
        ({"intermediate_size": 64}, "has shape"),
    ]:
        (baseline / "config.json").write_text(before)
        configured(baseline, "text_config", **values)
        refused(baseline, message)


def test_configs_that_describe_nothing(baseline: Path) -> None:
    """Values that only break in use, no JSON, no object, another kind of model, a quantized one."""
    before = (baseline / "config.json").read_text()
    nonsense: list[dict[str, Any]] = [{"hidden_size": "a"}, {"num_attention_heads": 3}, {"hidden_act": "nope"}, {"hidden_size": -1}]
    for values in nonsense:
        (baseline / "config.json").write_text(before)
        configured(baseline, "text_config", **values)
        refused(baseline, r"config\.json describes no CLIPModel")
    for text, message in [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"model_type": "bert"}', "model_type 'bert'"),
        ('{"model_type": "clip", "quantization_config": {}}', "has a quantization_config"),
    ]:
        (baseline / "config.json").write_text(text)
        refused(baseline, message)
    (baseline / "config.json").write_bytes(b'{"model_type": "\xff"}')
    refused(baseline, "is not valid JSON")


def test_the_resolutions_must_agree(baseline: Path) -> None:
    """Squares of another size than the model takes would only be refused at the first image."""
    file = baseline / "preprocessor_config.json"
    asked = json.loads(file.read_text()) | {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    file.write_text(json.dumps(asked))
    refused(baseline, "makes squares of 32 pixels, config.json has image_size 64")


def test_shards(baseline: Path, tmp_path: Path) -> None:
    """Several files are one model; a missing one, a truncated one and a useless index are refused."""
    shards = sharded(baseline)
    assert len(shards) > 2
    ROW.save(baseline, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    content = shards[1].read_bytes()
    shards[1].write_bytes(content[:-1])
    refused(baseline, rf"{shards[1].name} is truncated or damaged")
    shards[1].unlink()
    refused(baseline, rf"{INDEX} names '{shards[1].name}', which is missing: fetch it again")
    shards[1].write_bytes(content)
    for index in ("{}", '{"weight_map": {}}', '{"weight_map": {"logit_scale": 3}}', '{"weight_map": []}'):
        (baseline / INDEX).write_text(index)
        refused(baseline, "has no weight_map")


def test_an_index_that_forgets_a_shard(baseline: Path) -> None:
    """What the index does not name is not read, so its tensors are missing."""
    shards = sharded(baseline)
    index = json.loads((baseline / INDEX).read_text())
    index["weight_map"] = {name: file for name, file in index["weight_map"].items() if file != shards[0].name}
    (baseline / INDEX).write_text(json.dumps(index))
    refused(baseline, "the weights lack .*, which config.json describes")


def test_counters_of_old_checkpoints_are_let_be(baseline: Path, tmp_path: Path) -> None:
    """Position numbers that transformers once stored among the weights, which it ignores."""
    import torch

    changed(baseline / WEIGHTS, lambda tensors: tensors.update({"text_model.embeddings.position_ids": torch.arange(24)[None]}))
    ROW.save(baseline, tmp_path / "out")


def test_folders_that_are_no_baseline(tiny: Path, tmp_path: Path) -> None:
    """A folder without the files, with weights under another name, an output folder in use."""
    (tmp_path / "baseline").mkdir()
    refused(tmp_path / "baseline", r"config\.json, preprocessor_config\.json, model\.safetensors missing")
    shutil.copytree(tiny, tmp_path / "baseline", dirs_exist_ok=True)
    (tmp_path / "baseline" / WEIGHTS).rename(tmp_path / "baseline" / "open_clip_model.safetensors")
    refused(tmp_path / "baseline", r"CLIPModel folder: model\.safetensors missing")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes").write_text("")
    with pytest.raises(ValueError, match="is not empty"):
        ROW.save(tiny, tmp_path / "used")
