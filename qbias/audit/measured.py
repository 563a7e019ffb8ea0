"""audit_of: load a baseline and a saved model, embed the probe with both, and put together what the other files compute."""

from collections.abc import Collection
from pathlib import Path
from statistics import median
from typing import Any

from qbias.audit.embedded import Found, baseline_pass, moved
from qbias.audit.graphs import constant_bytes, graph_layers, layer_name
from qbias.audit.layers import Heard, Layers, listening, torch_layers
from qbias.audit.probe import probe
from qbias.audit.record import Audit, LayerRow
from qbias.audit.size import disk_bytes, tensor_bytes
from qbias.audit.table import METRICS, TOWERS
from qbias.audit.work import Work, tower_of, work_of
from qbias.encoder import Encoder
from qbias.environment import machine_facts
from qbias.quantizers import Coverage, load_encoder, read_card
from qbias.quantizers.baseline import check_baseline
from qbias.quantizers.torch_encoder import TorchEncoder, load_clip

UNQUANTIZED = "no layer of this tower is quantized"


def audit_of(baseline: Path, saved: Path) -> Audit:
    """Measure a saved model beside the float model that it was made from.

    Both are loaded; the candidate embeds 116 images and as many texts, the baseline 64 of each. Everything but speed is the same
    whenever it is measured on one machine with one number of threads.

    Parameters
    ----------
    baseline : a transformers CLIPModel folder, computed in float32. saved : a folder that a row of QUANTIZERS wrote from it.

    Raises
    ------
    ValueError
        If a folder is not what it should be, the two are of different shapes, or an embedding is not finite.
    """
    check_baseline(baseline)
    candidate, card = load_encoder(saved), read_card(saved)
    found = _sizes(candidate, saved, card.coverage.parameters_total)
    clip = load_clip(baseline)
    original = TorchEncoder(clip, saved, card)
    if (candidate.width, _parameters(clip)) != (original.width, card.coverage.parameters_total):
        raise ValueError(f"{saved} was not made from {baseline}: their shapes differ. Give the version's own baseline")
    linears = _linears(clip)
    quantized = linears.keys() - set(map(layer_name, card.coverage.kept_float))
    work = work_of({name: (module.in_features, module.out_features) for name, module in linears.items()}, clip.config.to_dict())
    shown = probe(card.preprocessing.resolution)
    with listening(clip, _layers(candidate, saved, quantized)) as heard:
        base, reach = baseline_pass(original, heard, shown)
    found |= _coverage(card.coverage, quantized, work) | _of_layers(heard, quantized) | moved(candidate, base, reach, shown)
    facts = machine_facts()
    found |= {"audit/threads": float(facts["threads"]), "audit/probe": float(shown.version)}
    assert found.keys() == METRICS.keys(), found.keys() ^ METRICS.keys()
    return Audit(
        quantizer=card.quantizer,
        metrics={name: value for name, value in found.items() if not isinstance(value, str)},
        insufficient={name: reason for name, reason in found.items() if isinstance(reason, str)},
        layers=tuple(_row(name, module, work, name in quantized, heard) for name, module in linears.items()),
        facts={
            "probe": {"version": shown.version, "digest": shown.digest, "images": len(shown.pixel_NRR3), "texts": len(shown.texts)},
            "machine": facts,
            "settings": dict(card.settings),
            "libraries": dict(card.libraries),
        },
    )


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _linears(model: Any) -> dict[str, Any]:
    import torch

    return {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}


def _model(candidate: Encoder) -> Any:
    """The torch model of an Encoder; None for another runtime's."""
    return getattr(candidate, "model", None)


def _layers(candidate: Encoder, saved: Path, quantized: Collection[str]) -> Layers:
    """The candidate's quantized layers, one by one."""
    model = _model(candidate)
    return graph_layers(saved, quantized) if model is None else torch_layers(model, quantized)


def _sizes(candidate: Encoder, saved: Path, parameters: int) -> Found:
    model, disk = _model(candidate), disk_bytes(saved)
    memory = constant_bytes(saved) if model is None else tensor_bytes(model)
    return {
        "audit/bytes/disk": float(disk),
        "audit/bytes/disk_share": disk / (4 * parameters),
        "audit/bytes/memory": float(memory),
        "audit/bytes/memory_share": memory / (4 * parameters),
    }


def _coverage(coverage: Coverage, quantized: Collection[str], work: Work) -> Found:
    covered, total = ({tower: count(tower) for tower in TOWERS} for count in (lambda tower: work.covered(tower, quantized), work.total))
    found: Found = {
        "audit/layers/quantized": float(coverage.quantized),
        "audit/layers/kept": float(coverage.total - coverage.quantized),
        "audit/coverage/parameters": coverage.parameters_quantized / coverage.parameters_total,
        "audit/coverage/multiply_adds": sum(covered.values()) / sum(total.values()),
    }
    found |= {f"audit/coverage/multiply_adds_{tower}": covered[tower] / total[tower] for tower in TOWERS}
    if len(quantized) != coverage.quantized:
        reason = f"{coverage.quantized} products are quantized, of which {len(quantized)} are linear layers: the others' work is not known"
        found |= dict.fromkeys((name for name in found if "multiply_adds" in name), reason)
    return found | {f"audit/work/multiply_adds_{tower}": float(total[tower]) for tower in TOWERS}


def _of_layers(heard: Heard, quantized: Collection[str]) -> Found:
    """Least and median ratio, and largest shift by companions, over the quantized layers of each tower."""
    found: Found = {}
    for tower in TOWERS:
        own = [name for name in quantized if tower_of(name) == tower]
        ratios = [ratio for name in own if (ratio := heard.sqnr.get(name)) is not None]
        shifts = [heard.shift[name] for name in own if name in heard.shift]
        reason = _note(own[0], heard) if own else UNQUANTIZED
        found[f"audit/sqnr/{tower}/min"] = min(ratios) if ratios else reason
        found[f"audit/sqnr/{tower}/median"] = median(ratios) if ratios else reason
        found[f"audit/batch/{tower}/layer_difference_outlier"] = max(shifts) if shifts else reason
    return found


def _row(name: str, module: Any, work: Work, quantized: bool, heard: Heard) -> LayerRow:
    return LayerRow(
        layer=name,
        tower=tower_of(name),
        quantized=quantized,
        parameters=module.weight.numel(),
        multiply_adds=work.linears[name],
        activation=heard.activation[name],
        sqnr=heard.sqnr.get(name),
        note=_note(name, heard) if quantized else "kept in float",
    )


def _note(name: str, heard: Heard) -> str:
    """Why a quantized layer has no ratio; empty where it has one."""
    if name not in heard.sqnr:
        return "not measured: the stored graph has no product of this name"
    return "" if heard.sqnr[name] is not None else "not a number: the layer's output equals the baseline's, or is 0"
