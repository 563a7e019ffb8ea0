"""qbias.audit as a whole: every CPU row of the table on a tiny CLIP, held against what can be computed another way."""

import csv
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qbias.audit import METRICS, Audit, audit_of
from qbias.audit.embedded import embedders, in_order
from qbias.audit.probe import probe
from qbias.preprocess import read_preprocessing
from qbias.quantizers import QUANTIZERS, load_encoder, read_card
from qbias.quantizers.torch_encoder import TorchEncoder, load_clip, normalised
from qbias.toyworld.catalogue import TOY_MODELS
from tests.tiny import CONTEXT, RESOLUTION

ROWS = [name for name, row in QUANTIZERS.items() if "cpu" in row.runs_on]
LAYER = "vision_model.encoder.layers.1.mlp.fc1"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for each operation: threads that wait for each other would make these tests slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every row's saved model."""
    root = tmp_path_factory.mktemp("audited")
    for name in ROWS:
        QUANTIZERS[name].save(tiny, root / name)
    return root


@pytest.fixture(scope="module")
def audits(tiny: Path, saved: Path) -> dict[str, Audit]:
    """Every row's audit."""
    return {name: audit_of(tiny, saved / name) for name in ROWS}


@pytest.fixture(scope="module")
def activations(tiny: Path) -> torch.Tensor:
    """What the baseline feeds LAYER for the first 8 images, caught apart from the audit."""
    model, preprocessing = load_clip(tiny).eval(), read_preprocessing(tiny)
    caught: list[torch.Tensor] = []
    model.get_submodule(LAYER).register_forward_pre_hook(lambda _, given: caught.append(given[0][:8]))
    with torch.inference_mode():
        model.get_image_features(pixel_values=normalised(probe(RESOLUTION).pixel_NRR3[:32].copy(), preprocessing))
    return caught[0]


def by_layer(audit: Audit) -> dict[str, Any]:
    return {row.layer: row for row in audit.layers}


@pytest.mark.parametrize("name", ROWS)
def test_every_number_is_there_and_finite_or_has_a_reason(audits: dict[str, Audit], name: str) -> None:
    audit = audits[name]
    assert audit.metrics.keys() | audit.insufficient.keys() == METRICS.keys()
    assert not audit.metrics.keys() & audit.insufficient.keys()
    assert all(isinstance(value, float) and math.isfinite(value) for value in audit.metrics.values())
    assert all(len(reason) > 10 for reason in audit.insufficient.values())
    assert audit.quantizer == name


@pytest.mark.parametrize("name", ROWS)
def test_coverage_and_layers_agree_with_the_card(audits: dict[str, Audit], saved: Path, name: str) -> None:
    audit, coverage = audits[name], read_card(saved / name).coverage
    quantized = [row for row in audit.layers if row.quantized]
    assert (audit.metrics["audit/layers/quantized"], len(quantized)) == (coverage.quantized, coverage.quantized)
    assert audit.metrics["audit/layers/kept"] == coverage.total - coverage.quantized
    assert sum(row.parameters for row in quantized) == coverage.parameters_quantized
    assert audit.metrics["audit/coverage/parameters"] == coverage.parameters_quantized / coverage.parameters_total
    done = {tower: sum(row.multiply_adds for row in quantized if row.tower == tower) for tower in ("image", "text")}
    total = {tower: audit.metrics[f"audit/work/multiply_adds_{tower}"] for tower in done}
    assert audit.metrics["audit/coverage/multiply_adds_image"] == pytest.approx(done["image"] / total["image"])
    assert audit.metrics["audit/coverage/multiply_adds"] == pytest.approx(sum(done.values()) / sum(total.values()))
    assert all((row.sqnr is None) == bool(row.note) for row in audit.layers)
    assert all(row.note == "kept in float" for row in audit.layers if not row.quantized)
    assert all(row.sqnr is not None for row in quantized)


def test_the_baseline_beside_itself_has_not_moved(audits: dict[str, Audit]) -> None:
    metrics, reasons = audits["fp32"].metrics, audits["fp32"].insufficient
    assert [metrics[f"audit/drift/{tower}/angle_max"] for tower in ("image", "text")] == [0.0, 0.0]
    assert [metrics[f"audit/neighbours/image_to_{kind}/overlap_at_10"] for kind in ("image", "text")] == [1.0, 1.0]
    assert metrics["audit/neighbours/image_to_text/spearman"] == pytest.approx(1.0)
    assert metrics["audit/coverage/multiply_adds"] == 0.0
    assert metrics["audit/bytes/disk_share"] == pytest.approx(1.0, abs=0.1)
    assert metrics["audit/batch/image/difference"] < 1e-5
    assert reasons["audit/sqnr/image/min"] == "no layer of this tower is quantized"


def test_drift_is_that_of_the_embeddings(tiny: Path, saved: Path, audits: dict[str, Audit]) -> None:
    shown, folder = probe(RESOLUTION), saved / "torch-int8"
    sides = (load_encoder(folder), TorchEncoder(load_clip(tiny), folder, read_card(folder)))
    for tower in ("image", "text"):
        own, base = (np.concatenate([embedders(side, shown)[tower](items) for items in in_order(shown)]) for side in sides)
        cosines = (own.astype(float) * base).sum(axis=1)
        metrics = audits["torch-int8"].metrics
        assert metrics[f"audit/drift/{tower}/cosine_mean"] == pytest.approx(cosines.mean(), abs=1e-6)
        assert metrics[f"audit/drift/{tower}/angle_max"] == pytest.approx(np.degrees(np.arccos(cosines.min())), rel=1e-3)
        assert metrics[f"audit/drift/{tower}/angle_max"] > metrics[f"audit/drift/{tower}/angle_mean"] > 0.1


def test_bytes_in_memory_are_those_of_the_stored_numbers(audits: dict[str, Audit], saved: Path) -> None:
    total = read_card(saved / "fp32").coverage.parameters_total
    positions = 8 * (CONTEXT + (RESOLUTION // 16) ** 2 + 1)
    assert audits["fp32"].metrics["audit/bytes/memory"] == 4 * total + positions
    rows = {layer: row.parameters for layer, row in by_layer(audits["torch-int8"]).items()}
    covered = sum(rows.values())
    assert audits["torch-int8"].metrics["audit/bytes/memory"] == 4 * (total - covered) + covered + 16 * len(rows) + positions
    covered -= rows["text_projection"]
    nf4 = 4 * (total - covered) + covered // 2 + 4 * covered // 64 + 16 * 4 * (len(rows) - 1) + positions
    assert audits["bnb-nf4"].metrics["audit/bytes/memory"] == pytest.approx(nf4, abs=4 * 16 * len(rows))
    int8, ort = (audits[name].metrics["audit/bytes/memory"] for name in ("bnb-int8", "ort-int8"))
    assert int8 == pytest.approx(4 * (total - covered) + covered, rel=0.03)
    assert ort == pytest.approx(audits["torch-int8"].metrics["audit/bytes/memory"], rel=0.01)


def sqnr(weight: torch.Tensor, product: torch.Tensor, row: torch.Tensor) -> float:
    right = row.double() @ weight.double().T
    return float(10 * torch.log10((right**2).sum() / ((right - product.double()) ** 2).sum()))


def test_nf4_noise_is_that_of_its_dequantized_weights(tiny: Path, saved: Path, audits: dict[str, Audit], activations: torch.Tensor) -> None:
    from bitsandbytes.functional import dequantize_4bit

    packed = load_encoder(saved / "bnb-nf4").model.get_submodule(LAYER).weight
    weight = load_clip(tiny).get_submodule(LAYER).weight.detach()
    own = dequantize_4bit(packed.data, packed.quant_state).reshape(weight.shape)
    wanted = sqnr(weight, activations @ own.T.float(), activations)
    # Half a decibel for processors on which the library multiplies in bfloat16.
    assert by_layer(audits["bnb-nf4"])[LAYER].sqnr == pytest.approx(wanted, abs=0.5)


def test_onnx_noise_is_that_of_the_stored_integers(tiny: Path, saved: Path, audits: dict[str, Audit], activations: torch.Tensor) -> None:
    import onnx

    graph = onnx.load(saved / "ort-int8" / "vision.onnx").graph
    node = next(node for node in graph.node if node.name.endswith("layers.1/mlp/fc1/MatMul_quant"))
    stored = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    integers, scale = stored[node.input[1]].astype(float), stored[node.input[1].replace("_quantized", "_scale")].astype(float)
    row = activations.numpy().astype(float)
    low, high = min(row.min(), 0.0), max(row.max(), 0.0)
    step = (high - low) / 255
    zero = np.round(-low / step)
    rounded = (np.clip(np.round(row / step) + zero, 0, 255) - zero) * step
    weight = load_clip(tiny).get_submodule(LAYER).weight.detach()
    wanted = sqnr(weight, torch.from_numpy(rounded @ (integers * scale)), activations)
    assert by_layer(audits["ort-int8"])[LAYER].sqnr == pytest.approx(wanted, abs=0.05)


def test_four_bits_are_noisier_than_eight(audits: dict[str, Audit]) -> None:
    for tower in ("image", "text"):
        noise = {name: audit.metrics.get(f"audit/sqnr/{tower}/median") for name, audit in audits.items()}
        moved = {name: audit.metrics[f"audit/drift/{tower}/angle_mean"] for name, audit in audits.items()}
        for eight in ("bnb-int8", "torch-int8", "ort-int8"):
            assert noise["bnb-nf4"] < noise[eight]
            assert moved["bnb-nf4"] > moved[eight] > 0


def test_who_depends_on_the_batch_is_found(audits: dict[str, Audit]) -> None:
    for name, audit in audits.items():
        if name == "fp32":
            continue
        shift = audit.metrics["audit/batch/image/layer_difference_outlier"]
        assert (shift > 1e-4) == QUANTIZERS[name].batch_dependent, (name, shift)
    for name in ("torch-int8", "ort-int8"):
        assert audits[name].metrics["audit/batch/image/difference"] > 1e-4
    assert audits["bnb-nf4"].metrics["audit/batch/image/difference"] < 1e-4


def test_all_but_speed_is_measured_the_same_again(tiny: Path, saved: Path, audits: dict[str, Audit]) -> None:
    again = audit_of(tiny, saved / "torch-int8")

    def lasting(audit: Audit) -> Audit:
        return replace(audit, metrics={name: value for name, value in audit.metrics.items() if not name.startswith("audit/speed/")})

    assert lasting(again) == lasting(audits["torch-int8"])


def test_another_models_baseline_and_altered_files_are_refused(tiny: Path, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was not made from"):
        audit_of(TOY_MODELS[1].folder, saved / "torch-int8")
    altered = Path(shutil.copytree(saved / "torch-int8", tmp_path / "altered"))
    (altered / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json has changed"):
        audit_of(tiny, altered)
    with pytest.raises(ValueError, match="is not a transformers CLIPModel folder"):
        audit_of(tmp_path, saved / "torch-int8")


@pytest.mark.parametrize("name", ["fp32", "bnb-int8"])
def test_the_files_hold_what_was_measured(audits: dict[str, Audit], tmp_path: Path, name: str) -> None:
    audit = audits[name]
    audit.write(tmp_path / "audit")
    told = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert told["metrics"] == dict(audit.metrics)
    assert told["insufficient"] == dict(audit.insufficient)
    assert told["meanings"].keys() == told["metrics"].keys()
    assert told["facts"]["probe"]["digest"] == probe(RESOLUTION).digest
    with (tmp_path / "audit" / "layers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == [row.layer for row in audit.layers]
    assert [float(row["sqnr"]) if row["sqnr"] else None for row in rows] == [row.sqnr for row in audit.layers]
