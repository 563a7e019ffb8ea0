"""The protocol: every choice that changes a number, in one frozen record with one digest.

Both sides of a pair must have the same digest. What each field means for the numbers stands with the loader that reads it. The verbs
take every field as a parameter of the same name, with what SAYS tells as its help.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from qbias.digests import json_digest
from qbias.tables import pick

Class2 = Literal["each", "either", "drop"]
SkinVote = Literal["majority", "argmax", "any"]
Sign = Literal["absolute", "signed"]
Desired = Literal["dataset", "uniform"]
PROMPT_LISTS = ("berg240", "oxai319")
"""Prompt lists that have a name; any other is a file, whose content the prompts' sha256 covers."""


SAYS: dict[str, str] = {
    "batch_size": "images (and texts) per canonical batch; some quantizers' results depend on what shares a batch",
    "limit": "use only this many images of each benchmark, the first in canonical order; none: all of them",
    "facet_prompt": "FACET's class prompt; {} is the class name with underscores as spaces",
    "facet_class2": "a second class: each label is a positive, either may be hit, or drop the row",
    "skin_vote": "how ten tone votes become lighter or darker: majority, argmax or any",
    "min_per_group": "persons of a class that both groups of a pair need before the class counts",
    "facet_sign": "which disparities the min/max names report: absolute or signed (both are logged)",
    "fairface_padding": "face crop margin of the FairFace copy in use; recorded, the images are used as they are",
    "fairface_prompts": "berg240 (a reconstruction), oxai319, or a text file with one prompt a line",
    "gender_balanced": "true: subsample FairFace to equal gender counts",
    "gender_balanced_seed": "seed of that subsample",
    "desired": "the skew's reference shares: those of the dataset, or uniform",
    "skew_k": "size of the top list whose skew is measured",
}
"""What each parameter means, for users: its help and its error messages."""


@dataclass(frozen=True)
class Protocol:
    """The measurement's parameters, with the study's defaults; SAYS tells what each field means.

    Raises
    ------
    ValueError
        If a value is of the wrong type, outside its range or not in its list; the message names the field and what it takes.
    """

    batch_size: int = 64
    limit: int | None = None
    facet_prompt: str = "a photo of a {}"
    facet_class2: Class2 = "each"
    skin_vote: SkinVote = "majority"
    min_per_group: int = 25
    facet_sign: Sign = "absolute"
    fairface_padding: float = 1.25
    fairface_prompts: str = "berg240"
    gender_balanced: bool = False
    gender_balanced_seed: int = 0
    desired: Desired = "dataset"
    skew_k: int = 1000

    def __post_init__(self) -> None:
        """Refuse values of the wrong type, outside their range or list, naming both."""
        for row in fields(self):
            self._check_type(row.name, row.default)
        for name, least in LEAST.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} is below {least}: {SAYS[name]}")
        if not 0 < self.fairface_padding < math.inf:
            raise ValueError(f"fairface_padding={self.fairface_padding} is no margin: give a number above 0, such as 0.25 or 1.25")
        if self.facet_prompt.count("{}") != 1:
            raise ValueError(f"facet_prompt={self.facet_prompt!r} must contain {{}} once, where the class name goes")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(choices)}")

    def _check_type(self, name: str, default: Any) -> None:
        """A value is of its default's type; a whole number will do for a fraction, and None for the limit."""
        value, wanted = getattr(self, name), int if default is None else type(default)
        good = type(value) is wanted or (wanted is float and type(value) is int) or (default is None and value is None)
        if not good:
            raise ValueError(f"{name}={value!r} is {type(value).__name__}, not {wanted.__name__}: {SAYS[name]}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, as they are logged."""
        return asdict(self)

    def digest(self) -> str:
        """sha256 of all parameters: equal on both sides of a pair, or the pair is refused.

        A prompt file counts as `file`: where it lies changes nothing, and what it says is in the prompts' own sha256.
        """
        prompts = self.fairface_prompts if self.fairface_prompts in PROMPT_LISTS else "file"
        return json_digest(self.as_dict() | {"fairface_prompts": prompts, "fairface_padding": float(self.fairface_padding)})


def protocol_from(values: Mapping[str, Any]) -> Protocol:
    """The protocol with these parameters, the others at their defaults.

    Raises
    ------
    ValueError
        If a name is unknown (with the nearest one) or a value is refused.
    """
    for name in values:
        pick(dict.fromkeys(FIELDS), str(name), what="protocol parameter")
    return Protocol(**values)


LEAST = {"batch_size": 1, "limit": 1, "min_per_group": 1, "skew_k": 1, "gender_balanced_seed": 0}
CHOICES: dict[str, tuple[str, ...]] = {
    "facet_class2": get_args(Class2),
    "skin_vote": get_args(SkinVote),
    "facet_sign": get_args(Sign),
    "desired": get_args(Desired),
}
FIELDS: tuple[str, ...] = tuple(row.name for row in fields(Protocol))
