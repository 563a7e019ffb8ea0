"""Each quantized layer on its own: fed with the activations of the float baseline, so its noise is not that of the layers before it.

Hooks on the baseline's Linears call the candidate's layer of the same name with the same input and keep sums only, one layer at a time:
no activation outlives its layer. Shapes: B items of a batch, T of them unchanged, in and out widths.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qbias.audit.batches import TRACKED
from qbias.audit.table import THRESHOLD
from qbias.audit.work import tower_of

if TYPE_CHECKING:
    import torch

Call = Callable[["torch.Tensor"], "torch.Tensor"]
"""A layer: (..., in) -> (..., out) float32 on the CPU, without its bias or with it, as `Layers` says."""
BEYOND = 1.1 * THRESHOLD
ITEMS = 8
"""Of the first batch, each with all its tokens: what a layer's noise is measured on."""


def decibels(signal: float, noise: float) -> float | None:
    """Signal-to-noise ratio ``10 log10(signal / noise)`` of two powers (sums of squares).

    0 means noise as strong as the signal. None where one of the powers is 0: the ratio is then no number.

    Examples
    --------
    >>> decibels(100.0, 1.0), decibels(4.0, 4.0), decibels(1.0, 0.0)
    (20.0, 0.0, None)
    """
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


@dataclass(frozen=True)
class Layers:
    """The candidate's quantized layers by the name of the baseline's Linear; `biased`: whether they add the bias themselves."""

    calls: Mapping[str, Call]
    biased: bool


@dataclass
class Heard:
    """What the hooks gathered.

    Attributes
    ----------
    sqnr : dB by layer, None where it is no number. shift : largest change by companions, share of the largest output, by layer.
    activation : largest magnitude of an input, by layer. reach : the same per item of the current batch, by tower, projections apart.
    """

    sqnr: dict[str, float | None] = field(default_factory=dict)
    shift: dict[str, float] = field(default_factory=dict)
    activation: dict[str, float] = field(default_factory=dict)
    reach: dict[str, Any] = field(default_factory=dict)


def torch_layers(model: Any, names: Collection[str]) -> Layers:
    """The named layers of a torch model."""
    return Layers({name: _torch_call(model.get_submodule(name)) for name in names}, biased=True)


def _torch_call(module: Any) -> Call:
    """A module as a Call: its input goes to where its parameters are, in their precision if that is a floating one."""
    import torch

    weight = next(module.parameters(), None)

    def call(row_Bi: "torch.Tensor") -> "torch.Tensor":
        given = row_Bi
        if weight is not None:
            given = row_Bi.to(weight.device, weight.dtype if weight.is_floating_point() else None)
        found: torch.Tensor = module(given).to("cpu", torch.float32)
        return found

    return call


@contextmanager
def listening(model: Any, layers: Layers) -> Iterator[Heard]:
    """Hooks on every Linear of a float model until the block ends. A layer is compared at its first call, watched at every call."""
    import torch

    heard = Heard()
    hooks = [
        module.register_forward_hook(_hook(name, heard, layers))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _hook(name: str, heard: Heard, layers: Layers) -> Callable[..., None]:
    import torch

    call, tower = layers.calls.get(name), tower_of(name)

    def listen(module: Any, inputs: "tuple[torch.Tensor, ...]", output_Bo: "torch.Tensor") -> None:
        row_Bi = inputs[0]
        reach_B = row_Bi.abs().flatten(1).amax(dim=1)
        heard.activation[name] = max(heard.activation.get(name, 0.0), float(reach_B.max()))
        if not name.endswith("_projection"):
            known_B = heard.reach.get(tower)
            heard.reach[tower] = reach_B if known_B is None else torch.maximum(known_B, reach_B)
        if call is None or name in heard.sqnr:
            return
        few_Bi, few_Bo = row_Bi[:ITEMS], output_Bo[:ITEMS]
        product_Bo = few_Bo - (0.0 if module.bias is None else module.bias)
        noise_Bo = (few_Bo if layers.biased else product_Bo) - call(few_Bi)
        heard.sqnr[name] = decibels(_power(product_Bo), _power(noise_Bo))
        heard.shift[name] = _shift(call, few_Bi)

    return listen


def _power(values: "torch.Tensor") -> float:
    import torch

    return float(torch.linalg.vector_norm(values, dtype=torch.float64)) ** 2


def _shift(call: Call, row_Bi: "torch.Tensor") -> float:
    """Largest change of the first items' output when copies of themselves are replaced by companions scaled beyond the threshold."""
    import torch

    own, companions = row_Bi[:TRACKED], row_Bi[TRACKED : 2 * TRACKED]
    scale = BEYOND / max(float(companions.abs().max()), 1e-6)
    among_copies, among_outliers = (call(torch.cat([own, other]))[: len(own)] for other in (own, companions * max(scale, 1.0)))
    largest = float(among_copies.abs().max())
    return float((among_outliers - among_copies).abs().max()) / largest if largest else 0.0
