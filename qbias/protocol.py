"""The protocol: every choice that changes a number, in one frozen record with one digest.

Both sides of a pair must have the same digest. What each field means for the numbers stands with the loader that reads it.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from qbias.digests import json_digest

Class2 = Literal["each", "either", "drop"]
SkinVote = Literal["majority", "argmax", "any"]
Sign = Literal["absolute", "signed"]
Desired = Literal["dataset", "uniform"]


@dataclass(frozen=True)
class Protocol:
    """The measurement's parameters, with the study's defaults.

    Attributes
    ----------
    batch_size : images (and texts) per canonical batch; some quantizers' results depend on what shares a batch.
    limit : use only the first `limit` images of each benchmark in canonical order (None: all of them).
    facet_prompt : the class prompt, `{}` is the class name with underscores as spaces.
    facet_class2 : what a second class means: `each` label is a positive, `either` may be hit, `drop` the row.
    skin_vote : how ten tone votes become lighter or darker.
    min_per_group : persons of a class that both groups of a pair need before the class counts.
    facet_sign : which disparities the Min/Max names report: `absolute` or `signed`.
    fairface_padding : face crop margin of the FairFace copy in use (recorded; the images are used as they are).
    fairface_prompts : `berg240`, `oxai319`, or the path of a text file with one prompt a line.
    gender_balanced : subsample FairFace to equal gender counts with `gender_balanced_seed`.
    desired : the skew's reference shares: those of the `dataset` or `uniform`.
    skew_k : size of the top list.
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
        """Refuse values outside their range or list, naming both."""
        for name, least in (("batch_size", 1), ("min_per_group", 1), ("skew_k", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} is below {least}: give a whole number of at least {least}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit={self.limit} is below 1: leave it out to use every image")
        if self.facet_prompt.count("{}") != 1:
            raise ValueError(f"facet_prompt={self.facet_prompt!r} must contain {{}} once, where the class name goes")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(choices)}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, as they are logged."""
        return asdict(self)

    def digest(self) -> str:
        """sha256 of all parameters: equal on both sides of a pair, or the pair is refused."""
        return json_digest(self.as_dict())


CHOICES: dict[str, tuple[str, ...]] = {
    "facet_class2": get_args(Class2),
    "skin_vote": get_args(SkinVote),
    "facet_sign": get_args(Sign),
    "desired": get_args(Desired),
}
FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Protocol))
