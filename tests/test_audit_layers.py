"""qbias.audit.layers: planted noise of a known size is found at its own layer, and hooks leave nothing behind."""

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from qbias.audit.layers import BEYOND, Layers, decibels, listening


def test_decibels_by_hand() -> None:
    assert decibels(1.0, 1000.0) == pytest.approx(-30.0)
    assert decibels(2.0, 1.0) == pytest.approx(3.0103, abs=1e-4)
    assert (decibels(0.0, 1.0), decibels(1.0, 0.0)) == (None, None)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    parts = {"first": torch.nn.Linear(6, 5), "second": torch.nn.Linear(5, 5, bias=False), "text_projection": torch.nn.Linear(5, 4)}
    return torch.nn.Sequential(torch.nn.ModuleDict(parts)).eval()


def forward(model: torch.nn.Module, rows: torch.Tensor) -> None:
    parts = model[0]
    with torch.inference_mode():
        parts["text_projection"](parts["second"](parts["first"](rows)))


ROWS = torch.randn(8, 3, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("biased", [True, False])
def test_noise_of_a_tenth_is_20_db_whatever_the_bias(model: torch.nn.Module, biased: bool) -> None:
    first, second = model[0]["first"], model[0]["second"]

    def noisy(rows: torch.Tensor) -> torch.Tensor:
        return 1.1 * linear(rows, first.weight) + (first.bias if biased else 0.0)

    with listening(model, Layers({"0.first": noisy, "0.second": lambda rows: linear(rows, second.weight)}, biased)) as heard:
        forward(model, ROWS)
    assert heard.sqnr["0.first"] == pytest.approx(20.0, abs=1e-3)
    # The second layer is fed with the baseline's activations, so the first one's noise does not reach it.
    assert heard.sqnr == {"0.first": heard.sqnr["0.first"], "0.second": None}
    assert heard.shift == {"0.first": 0.0, "0.second": 0.0}


def test_a_layer_that_looks_at_its_batch_is_found(model: torch.nn.Module) -> None:
    first, seen = model[0]["first"], list[float]()

    def batchwise(rows: torch.Tensor) -> torch.Tensor:
        seen.append(float(rows.abs().max()))
        return linear(rows, first.weight, first.bias) * (1.0 + 0.5 * (seen[-1] > 6.0))

    with listening(model, Layers({"0.first": batchwise}, biased=True)) as heard:
        forward(model, ROWS)
    assert max(seen) == pytest.approx(BEYOND)
    assert heard.shift["0.first"] == pytest.approx(0.5)


def test_activations_per_item_and_layer_without_projections(model: torch.nn.Module) -> None:
    rows = ROWS.clone()
    rows[2, 1, 4] = -50.0
    model[0]["second"].weight.data.zero_()
    model[0]["first"].weight.data.zero_()
    with listening(model, Layers({}, biased=True)) as heard:
        forward(model, rows)
    reach = heard.reach["text"].numpy()
    wanted = np.maximum(rows.abs().amax(dim=(1, 2)).numpy(), model[0]["first"].bias.abs().max().item())
    np.testing.assert_allclose(reach, wanted, rtol=1e-6)
    assert heard.activation["0.first"] == 50.0
    assert heard.activation["0.text_projection"] == 0.0


def test_no_hook_stays_also_after_an_error(model: torch.nn.Module) -> None:
    def broken(rows: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"), listening(model, Layers({"0.first": broken}, biased=True)):
        forward(model, ROWS)
    assert not any(module._forward_hooks for module in model.modules())
