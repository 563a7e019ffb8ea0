"""What the verbs' parameters become: a plan with every parameter of the protocol."""

import argparse
import re
from pathlib import Path

import pytest

from entrypoints.options import AUTO, add_cache_limit, add_plan, obey_cache_limit, plan_of, verb_parser
from qbias.benchmarks import BENCHMARKS
from qbias.cache import cache_limit
from qbias.protocol import FIELDS, Protocol
from tests.test_protocol import OTHER_VALUES

HEADS = Path(__file__).resolve().parent.parent / "examples" / "heads" / "heads.yaml"


def parsed(*words: str) -> argparse.Namespace:
    parser = verb_parser("evaluate", "measures")
    add_plan(parser)
    add_cache_limit(parser)
    return parser.parse_args(words)


def test_the_defaults_are_the_protocols(tmp_path: Path) -> None:
    plan = plan_of(parsed("--data", str(tmp_path)))
    assert (plan.protocol, plan.benchmarks, plan.data, plan.on_bad_image) == (Protocol(), tuple(BENCHMARKS), tmp_path, "fail")


@pytest.mark.parametrize("name", FIELDS)
def test_every_parameter_reaches_the_protocol(tmp_path: Path, name: str) -> None:
    value = OTHER_VALUES[name]
    plan = plan_of(parsed("--data", str(tmp_path), f"--{name.replace('_', '-')}", str(value).lower() if value is True else str(value)))
    assert plan.protocol.as_dict() == Protocol().as_dict() | {name: value}


@pytest.mark.parametrize("text", ["none", "", "None"])
def test_no_limit(tmp_path: Path, text: str) -> None:
    assert plan_of(parsed("--data", str(tmp_path), "--limit", text)).protocol.limit is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--skew-k", "many"), "invalid int value: 'many'"),
        (("--gender-balanced", "perhaps"), "neither true nor false"),
        (("--limit", "half"), "not a whole number"),
        (("--batch-size", "some"), "'some' is not a whole number; give one, or 'auto'"),
        (("--batch-size", "0"), "batch_size=0 is below 1"),
        (("--cache-limit", "much"), "cache_limit='much' is no size: give one such as 20GB"),
        (("--on-bad-image", "ignore"), "invalid choice: 'ignore'"),
        (("--skin-vote", "median"), "skin_vote='median' is not one of majority, argmax, any"),
        (("--facet-prompt", "a photo"), "must contain {} once"),
        (("--benchmarks", "coca"), "Did you mean 'coco'"),
        (("--data", "/no/such/folder"), "there is no folder /no/such/folder"),
    ],
)
def test_a_wrong_parameter_is_one_message(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        plan_of(parsed("--data", str(tmp_path), *words))


def test_the_drawn_world_is_not_made_for_benchmarks_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    assert plan_of(parsed("--benchmarks", str(HEADS))).benchmarks == (str(HEADS),)
    assert not (tmp_path / "cache").exists()


def test_auto_is_no_number_yet(tmp_path: Path) -> None:
    options = parsed("--data", str(tmp_path), "--batch-size", AUTO)
    assert options.batch_size == AUTO
    assert plan_of(options).protocol == Protocol()


def test_the_cache_limit_is_the_environments_unless_one_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBIAS_CACHE_LIMIT", "7GB")
    obey_cache_limit(parsed())
    assert cache_limit() == 7 * 10**9
    obey_cache_limit(parsed("--cache-limit", "20GB"))
    assert cache_limit() == 20 * 10**9
