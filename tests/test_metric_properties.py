"""Properties that hold for every metric of METRICS, each shown able to fail."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from qbias import measure as module
from qbias.measure import METRICS, Metric, measure
from qbias.outcomes import outcomes_of
from qbias.prepared import Prepared
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind, Measured, Outcomes
from tests.made import KINDS, MAKERS, made_outcomes, shuffled

Check = Callable[[Kind], None]


def values(outcomes: Outcomes) -> dict[str, float]:
    return {row.name: row.value for row in measure(outcomes)[0]}


def order_of_images_does_not_matter(kind: Kind) -> None:
    dataset, image_ND, text_MD = MAKERS[kind](1)
    other, other_ND = shuffled(dataset, image_ND)
    assert values(outcomes_of(other, other_ND, text_MD, Protocol())) == pytest.approx(
        values(outcomes_of(dataset, image_ND, text_MD, Protocol())), abs=1e-12
    )


def renamed(dataset: Dataset) -> Dataset:
    """Every group name reversed and doubled, so that length and alphabetical order change."""

    def new(cell: str) -> str:
        return "|".join(part[::-1] * 2 for part in cell.split("|"))

    facts, columns = dict(dataset.facts), {}
    for name in ("gender", "skin", "race", "mood"):
        if name in dataset.images:
            columns[name] = [new(cell) for cell in dataset.images[name]]
    if "pairs" in facts:
        facts["pairs"] = [{**pair, "first": new(pair["first"]), "second": new(pair["second"])} for pair in facts["pairs"]]
    if "attributes" in facts:
        facts["attributes"] = {name: [new(value) for value in listed] for name, listed in facts["attributes"].items()}
    return replace(dataset, images=dataset.images.assign(**columns), facts=facts)


def group_names_do_not_matter(kind: Kind) -> None:
    dataset, image_ND, text_MD = MAKERS[kind](1)
    before = measure(outcomes_of(dataset, image_ND, text_MD, Protocol()))[0]
    after = measure(outcomes_of(renamed(dataset), image_ND, text_MD, Protocol()))[0]
    assert [row.value for row in after] == pytest.approx([row.value for row in before], abs=1e-12)


def equal_sides_differ_by_exactly_nothing(kind: Kind) -> None:
    baseline, candidate = values(made_outcomes(kind, 1)), values(made_outcomes(kind, 1))
    assert {name: candidate[name] - baseline[name] for name in baseline} == dict.fromkeys(baseline, 0.0)


PROPERTIES: tuple[Check, ...] = (order_of_images_does_not_matter, group_names_do_not_matter, equal_sides_differ_by_exactly_nothing)
CALLS = count()


def first_image(prepared: Prepared, pattern: str) -> Iterator[Measured]:
    """Depends on the order of the images."""
    yield Measured(pattern, float(prepared.outcomes.frames["images"]["id"][0].removeprefix("image-")))


def name_length(prepared: Prepared, pattern: str) -> Iterator[Measured]:
    """Depends on how groups are called."""
    facts = prepared.facts
    names = [pair["first"] for pair in facts.get("pairs", ())] + [value for some in facts.get("attributes", {}).values() for value in some]
    yield Measured(pattern, float(sum(map(len, names))))


def another_each_time(prepared: Prepared, pattern: str) -> Iterator[Measured]:
    """Depends on nothing that it should."""
    yield Measured(pattern, 1.0 + 1e-15 * next(CALLS))


BROKEN = dict(zip(PROPERTIES, (first_image, name_length, another_each_time), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", PROPERTIES)
def test_properties_of_every_metric(check: Check, kind: Kind) -> None:
    check(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", PROPERTIES)
def test_each_property_can_fail(monkeypatch: pytest.MonkeyPatch, check: Check, kind: Kind) -> None:
    if kind == "retrieval" and check is group_names_do_not_matter:
        assert "pairs" not in MAKERS[kind](1)[0].facts, "retrieval has no groups, so their names cannot matter"
        return
    monkeypatch.setattr(module, "METRICS", (*METRICS, Metric("broken", kind, "none", BROKEN[check])))
    with pytest.raises(AssertionError):
        check(kind)
