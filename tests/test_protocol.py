from dataclasses import replace

import pytest

from qbias.protocol import CHOICES, FIELDS, Protocol

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


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("limit", 0), ("min_per_group", 0), ("skew_k", -1), ("facet_prompt", "a photo"), ("facet_prompt", "{} {}")]
    + [(name, "no such choice") for name in CHOICES],
)
def test_a_value_outside_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        replace(Protocol(), **{name: value})
