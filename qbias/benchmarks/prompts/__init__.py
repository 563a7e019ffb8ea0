"""The skew benchmark's prompts: two named lists, or a text file of one's own with one prompt a line.

`oxai319` is the released list of Berg et al. 2022: 11 templates x 29 concepts, the same for every attribute. `berg240` is a
**reconstruction** of the 240 that the paper used and its authors never published: the 29 concepts less the five used for training, times
the 10 templates that are more than the bare concept.
"""

from dataclasses import dataclass
from pathlib import Path

from qbias.benchmarks.prompts.berg2022 import BARE, CONCEPTS, TEMPLATES, TRAINED_ON
from qbias.benchmarks.sheet import read_text


@dataclass(frozen=True)
class PromptSet:
    """A list of prompts, its name, and whether it is a reconstruction (the report says so)."""

    name: str
    prompts: tuple[str, ...]
    reconstructed: bool


def _crossed(templates: tuple[str, ...], concepts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(template.replace("{}", concept) for template in templates for concept in concepts)


OXAI319 = PromptSet("oxai319", _crossed(TEMPLATES, CONCEPTS), reconstructed=False)
BERG240 = PromptSet(
    "berg240",
    _crossed(tuple(t for t in TEMPLATES if t != BARE), tuple(c for c in CONCEPTS if c not in TRAINED_ON)),
    reconstructed=True,
)
PROMPT_SETS = {row.name: row for row in (BERG240, OXAI319)}


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def prompt_set(name: str) -> PromptSet:
    """The named list, or the lines of the text file at that path (blank lines left out, each line stripped).

    A file's list is called `file`: its path says nothing about its content, its sha256 does.

    Raises
    ------
    ValueError
        If it is neither a name nor a readable UTF-8 file with at least one prompt.
    """
    if name in PROMPT_SETS:
        return PROMPT_SETS[name]
    if not _is_file(name):
        choices = f"neither one of {', '.join(PROMPT_SETS)} nor a file"
        raise ValueError(f"fairface_prompts={name!r} is {choices}: give a name, or a text file with one prompt a line")
    prompts = tuple(line.strip() for line in read_text(Path(name)).splitlines() if line.strip())
    if not prompts:
        raise ValueError(f"{name}: holds no prompt; write one a line")
    return PromptSet("file", prompts, reconstructed=False)
