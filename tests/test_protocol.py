from dataclasses import replace

import pytest

from qbias.benchmarks.prompts import PROMPT_SETS
from qbias.protocol import CHOICES, FIELDS, LEAST, PROMPT_LISTS, SAYS, Protocol, protocol_from

OTHER_VALUES = {
    "batch_size": 32,
    "limit": 10,
    "facet_prompt": "{}",
    "facet_class2": "drop",
    "skin_vote": "any",
    "min_per_group": 50,
    "facet_sign": "signed",
    "fairface_padding": 0.25,
    "fairface_prompts": "oxai319",
    "gender_balanced": True,
    "gender_balanced_seed": 1,
    "desired": "uniform",
    "skew_k": 100,
}


def test_every_parameter_is_part_of_the_digest():
    assert set(OTHER_VALUES) == set(FIELDS)
    digests = {replace(Protocol(), **{name: value}).digest() for name, value in OTHER_VALUES.items()}
    assert len(digests | {Protocol().digest()}) == len(FIELDS) + 1


def test_every_parameter_has_a_meaning():
    assert tuple(SAYS) == FIELDS


def test_a_prompt_file_counts_by_its_content_not_by_its_place():
    assert set(PROMPT_LISTS) == set(PROMPT_SETS)
    here, there = (replace(Protocol(), fairface_prompts=f"/{folder}/prompts.txt") for folder in ("here", "there"))
    assert here.digest() == there.digest() != Protocol().digest()


def test_a_whole_number_is_a_margin_too():
    assert replace(Protocol(), fairface_padding=1).digest() == replace(Protocol(), fairface_padding=1.0).digest()


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, least - 1) for name, least in LEAST.items()]
    + [("facet_prompt", "a photo"), ("facet_prompt", "{} {}"), ("fairface_padding", float("nan")), ("fairface_padding", 0.0)]
    + [(name, "no such choice") for name in CHOICES]
    + [("batch_size", "64"), ("limit", True), ("skew_k", 10.0), ("gender_balanced", 1), ("facet_prompt", None), ("fairface_padding", True)],
)
def test_a_value_outside_its_range_or_of_another_type_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        replace(Protocol(), **{name: value})


def test_a_protocol_from_plain_values():
    assert protocol_from({"skew_k": 50}) == Protocol(skew_k=50)
    assert protocol_from(Protocol(limit=3).as_dict()) == Protocol(limit=3)
    with pytest.raises(ValueError, match="Did you mean 'min_per_group'"):
        protocol_from({"min_per_grp": 5})
