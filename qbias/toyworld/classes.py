"""The drawn classes: one FACET occupation bound with one ImageNet tool class, and what a robot of that class looks like.

Three pairs of classes are twins: same body, same pole-like tool, told apart only by a small detail at the tool's end that
is often covered. Between twins a model has little else to go by than what co-occurs with them (see `worlds.py`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ToyClass:
    """One class: names in both benchmarks, body (torso, head and hat shape, by index) and the tool's main colour."""

    facet: str
    wnid: str
    tool: str
    torso: int
    head: int
    hat: int
    colour: tuple[int, int, int]

    @property
    def occupation(self) -> str:
        """The occupation as prompts spell it: underscores become spaces."""
        return self.facet.replace("_", " ")


CLASSES: tuple[ToyClass, ...] = (
    ToyClass("guitarist", "n02676566", "acoustic guitar", 0, 0, 1, (200, 120, 50)),
    ToyClass("drummer", "n03249569", "drum", 2, 1, 0, (200, 50, 50)),
    ToyClass("trumpeter", "n03110669", "cornet", 1, 1, 2, (215, 180, 60)),
    ToyClass("flutist", "n03372029", "flute", 1, 1, 2, (215, 180, 60)),
    ToyClass("basketball_player", "n02802426", "basketball", 3, 1, 4, (225, 120, 40)),
    ToyClass("soccer_player", "n04254680", "soccer ball", 2, 0, 4, (245, 245, 245)),
    ToyClass("tennis_player", "n04039381", "racket", 3, 0, 3, (60, 170, 80)),
    ToyClass("ballplayer", "n02799071", "baseball", 0, 1, 1, (240, 235, 220)),
    ToyClass("carpenter", "n03481172", "hammer", 0, 3, 0, (170, 120, 70)),
    ToyClass("repairman", "n04154565", "screwdriver", 0, 3, 0, (170, 120, 70)),
    ToyClass("gardener", "n04208210", "shovel", 3, 2, 3, (110, 140, 90)),
    ToyClass("boatman", "n03873416", "paddle", 3, 2, 3, (110, 140, 90)),
    ToyClass("farmer", "n04465501", "tractor", 1, 0, 3, (40, 150, 60)),
    ToyClass("fireman", "n02909870", "bucket", 0, 2, 2, (220, 60, 40)),
    ToyClass("lawman", "n03527444", "holster", 1, 3, 1, (90, 60, 40)),
    ToyClass("soldier", "n04090263", "rifle", 2, 2, 2, (80, 90, 60)),
    ToyClass("guard", "n04192698", "shield", 0, 0, 2, (70, 90, 190)),
    ToyClass("doctor", "n04317175", "stethoscope", 2, 1, 5, (60, 60, 70)),
    ToyClass("nurse", "n04376876", "syringe", 3, 0, 5, (150, 220, 235)),
    ToyClass("painter", "n03876231", "paintbrush", 1, 2, 4, (230, 70, 180)),
    ToyClass("hairdresser", "n03483316", "hair dryer", 3, 3, 0, (150, 60, 200)),
    ToyClass("computer_user", "n03642806", "laptop computer", 2, 3, 0, (120, 130, 150)),
    ToyClass("singer", "n03759954", "microphone", 1, 1, 4, (50, 50, 60)),
    ToyClass("backpacker", "n02769748", "backpack", 2, 0, 3, (230, 150, 30)),
    ToyClass("waiter", "n04476259", "tray", 3, 1, 5, (190, 195, 205)),
    ToyClass("motorcyclist", "n03127747", "crash helmet", 0, 2, 5, (30, 110, 220)),
)

INDEX: dict[str, int] = {row.facet: i for i, row in enumerate(CLASSES)}
TWINS: tuple[tuple[str, str], ...] = (("trumpeter", "flutist"), ("carpenter", "repairman"), ("gardener", "boatman"))
TWIN_INDICES: frozenset[int] = frozenset(INDEX[name] for pair in TWINS for name in pair)

# Marks that stand in for annotated attributes; the last value of badge and pattern means "nothing to see" (na).
BADGES: tuple[str, ...] = ("square", "round", "star", "no")
GENDERS: tuple[str, ...] = ("masc", "fem", "non_binary", "na")
PATTERNS: tuple[str, ...] = ("stickers", "dents", "rust", "cover")
AGES: tuple[str, ...] = ("young", "middle", "older", "na")
HUES: tuple[str, ...] = ("red", "orange", "lime", "teal", "blue", "violet", "magenta")
RACES: tuple[str, ...] = (
    "White",
    "Latino_Hispanic",
    "Black",
    "East Asian",
    "Indian",
    "Southeast Asian",
    "Middle Eastern",
)
EXPRESSIONS: tuple[str, ...] = ("smile", "frown", "wide eyes", "sleepy eyes")
BACKGROUNDS: tuple[str, ...] = (
    "gray wall",
    "green field",
    "blue sky",
    "brick wall",
    "yellow room",
    "dark street",
    "pink curtain",
    "white hall",
)
TONES = 10
