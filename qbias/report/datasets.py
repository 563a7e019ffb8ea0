"""What the numbers were measured on: data, prompts and images of each benchmark, as rows and in sentences.

Pure functions of a Comparison.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qbias.comparison import Comparison
from qbias.records import Evaluation, Outcomes
from qbias.report.labels import benchmark_label

LONGEST_LIST = 6
"""Longer lists among a benchmark's facts are shown as their number."""
LONGEST_TEXT = 200
"""Longer texts among the facts are folded away."""
MOST_SHOWN = 4000
"""Characters of a folded text that the page holds; the rest stands in each run's outcomes."""
NAMELESS_LISTS = ("file", "inline", "")
"""What a prompt set is called that has no name of its own."""


@dataclass(frozen=True)
class Prompts:
    """A list of prompts, as a benchmark's facts describe it."""

    name: str
    length: int
    sha256: str
    reconstructed: bool

    @property
    def text(self) -> str:
        """Name, length, and whether it is a reconstruction."""
        called = "a list of one's own" if self.name in NAMELESS_LISTS else self.name
        length = f"{self.length:,} {'prompt' if self.length == 1 else 'prompts'}"
        origin = f"; a reconstruction: the authors never published the {self.length:,}" if self.reconstructed else ""
        return f"{called} ({length}{origin})"

    @property
    def sentence(self) -> str:
        """What a reader has to know beside a skew."""
        return f"Prompts of the skew: {self.text}, sha256 {self.sha256}."


def evaluations_of(comparison: Comparison) -> list[Evaluation]:
    """Every evaluation that stands in a pair, once, each model's baseline first."""
    sides = [side for row in comparison.pairings for side in (row.baseline, row.candidate)]
    return list({side.run_id: side for side in sides}.values())


def prompts_of(outcomes: Outcomes) -> Prompts | None:
    """The prompt list behind outcomes of a skew benchmark; None for the other kinds, whose prompts are made of classes or captions."""
    if outcomes.kind != "skew":
        return None
    facts, length = outcomes.facts, outcomes.facts.get("prompts")
    return Prompts(
        name=str(facts.get("prompt_set") or ""),
        length=length if isinstance(length, int) else int(outcomes.frames["prompts"]["prompt"].nunique()),
        sha256=outcomes.prompts_sha256,
        reconstructed=bool(facts.get("prompts_reconstructed", False)),
    )


def prompt_lists(comparison: Comparison) -> list[tuple[str, Prompts]]:
    """(benchmark, list) for every skew benchmark and each list it was measured with."""
    found = {(name, lists): None for name, outcomes in _outcomes(comparison) if (lists := prompts_of(outcomes))}
    return sorted(found, key=lambda row: comparison.benchmarks.index(row[0]))


def prompt_sentences(comparison: Comparison, benchmark: str) -> tuple[str, ...]:
    """One sentence for each list that `benchmark` was measured with; none for a benchmark without prompts."""
    return tuple(prompts.sentence for name, prompts in prompt_lists(comparison) if name == benchmark)


def image_counts(comparison: Comparison) -> list[tuple[str, str]]:
    """Images per benchmark; a range where pairs differ."""
    return _counts(comparison, lambda outcomes: len(outcomes.frames["images"]))


def skipped_counts(comparison: Comparison) -> list[tuple[str, str]]:
    """Images per benchmark that were left out because they cannot be decoded, where there are any; a range where pairs differ."""
    return [(name, text) for name, text in _counts(comparison, _skipped) if text != "0"]


def _skipped(outcomes: Outcomes) -> int:
    return int(outcomes.facts.get("skipped_images") or 0)


def _counts(comparison: Comparison, number: Callable[[Outcomes], int]) -> list[tuple[str, str]]:
    found = []
    for name in comparison.benchmarks:
        sides = [row.candidate.outcomes[name] for row in comparison.pairings if name in row.candidate.outcomes]
        numbers = sorted({number(side) for side in sides})
        found.append((name, f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"))
    return found


def images_text(counts: list[tuple[str, str]]) -> str:
    """Counts by benchmark in one line."""
    return ", ".join(f"{benchmark_label(name)} {count}" for name, count in counts)


def _outcomes(comparison: Comparison) -> Iterator[tuple[str, Outcomes]]:
    return ((name, outcomes) for row in evaluations_of(comparison) for name, outcomes in row.outcomes.items())


def dataset_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Per benchmark and distinct data: digests, counts, the models that were measured on it, and the facts of the measurement."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in evaluations_of(comparison):
        for name, outcomes in row.outcomes.items():
            key = (name, outcomes.dataset_digest, outcomes.prompts_sha256, outcomes.protocol_digest)
            prompts = prompts_of(outcomes)
            entry = found.setdefault(key, {
                "benchmark": name, "kind": outcomes.kind, "images": len(outcomes.frames["images"]), "dataset": outcomes.dataset_digest,
                "prompts": outcomes.prompts_sha256, "protocol": outcomes.protocol_digest, "facts": fact_texts(outcomes.facts), "models": {},
                "prompt_list": prompts.sentence if prompts else "",
            })  # fmt: skip
            entry["models"][row.model] = None
    return [found[key] for key in sorted(found, key=lambda key: comparison.benchmarks.index(key[0]))]


def fact_texts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A benchmark's facts as texts: long lists as their number, a long mapping (such as a definition) as JSON, a line per entry."""
    return [(name, _long_text(value)) for name, value in facts.items()]


def _long_text(value: Any) -> str:
    text = _fact_text(value)
    if isinstance(value, Mapping) and len(text) > LONGEST_TEXT:
        return json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return text


def _fact_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_fact_text(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        if len(value) > LONGEST_LIST:
            return f"{len(value)} values"
        return ", ".join(_pair_text(entry) if isinstance(entry, Mapping) else str(entry) for entry in value) or "none"
    return "none" if value is None else str(value)


def _pair_text(pair: Mapping[str, Any]) -> str:
    """A pair of groups among the facts in words; any other mapping as its values."""
    if {"name", "first", "second"} <= set(pair):
        return f"{pair['name']} ({pair['first']} − {pair['second']})"
    return "; ".join(f"{name}: {value}" for name, value in pair.items())


def is_long(text: str) -> bool:
    """Whether a fact's text is folded away on the page."""
    return len(text) > LONGEST_TEXT or text.count("\n") > 2


def cut(text: str) -> str:
    """As much of a folded text as the page holds."""
    if len(text) <= MOST_SHOWN:
        return text
    return f"{text[:MOST_SHOWN]}\n… {len(text) - MOST_SHOWN:,} characters more: comparison.json beside this page has the whole"
