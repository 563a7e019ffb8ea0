"""The eight toy models, a light row each: three sizes x three training worlds, less one, as in the paper."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qbias.toyworld.worlds import PLANTED, PLANTED_SKEW, Planted, PlantedSkew, World

Size = Literal["s16", "s8", "m8"]
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ToyModel:
    """One toy CLIP; `folder` is its transformers `CLIPModel` folder."""

    size: Size
    world: World

    @property
    def name(self) -> str:
        """The catalogue name, such as toy-s16-balanced."""
        return f"toy-{self.size}-{self.world}"

    @property
    def folder(self) -> Path:
        """Where its config, weights, tokenizer and preprocessing are stored."""
        return WEIGHTS / self.name


# s16 x tilt-b is left out, as the paper lacks B/32 DataComp.
TOY_MODELS: tuple[ToyModel, ...] = (
    ToyModel("s16", "balanced"),
    ToyModel("s8", "balanced"),
    ToyModel("m8", "balanced"),
    ToyModel("s16", "tilt-a"),
    ToyModel("s8", "tilt-a"),
    ToyModel("m8", "tilt-a"),
    ToyModel("s8", "tilt-b"),
    ToyModel("m8", "tilt-b"),
)

__all__ = ["PLANTED", "PLANTED_SKEW", "TOY_MODELS", "WEIGHTS", "Planted", "PlantedSkew", "Size", "ToyModel", "World"]
