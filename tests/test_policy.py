"""policy.yaml: read strictly, with errors that say what would be right."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.policy import DEFAULT_POLICY, load_policy, policy_from

RAW: dict[str, Any] = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    change(raw)
    return raw


def test_the_default_asks_for_the_four_benchmarks_and_a_comparison() -> None:
    policy = load_policy()
    assert [row.name for row in policy.benchmarks] == ["imagenet", "coco", "facet", "fairface"]
    assert policy.comparison.required
    assert all(row.why for row in (*policy.benchmarks, policy.comparison, policy.sign_off))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.update(signoff={}), "Did you mean 'sign_off'"),
        (lambda raw: raw["sign_off"].update(valid_day=3), "Did you mean 'valid_days'"),
        (lambda raw: raw["benchmarks"][0].update(wyh="x"), "Did you mean 'why'"),
        (lambda raw: raw["comparison"].update(require=True), "Did you mean 'required'"),
        (lambda raw: raw["benchmarks"][0]["protocol"].update(limt=None), "Did you mean 'limit'"),
        (lambda raw: raw["benchmarks"][1].pop("why"), "benchmarks.1.why"),
        (lambda raw: raw["benchmarks"][1].update(why="  "), "is empty"),
        (lambda raw: raw["benchmarks"].append(raw["benchmarks"][0]), "imagenet stands there more than once"),
        (lambda raw: raw.update(benchmarks=[]), "benchmarks"),
        (lambda raw: raw.update(name=""), "is empty"),
        (lambda raw: raw.pop("sign_off"), "sign_off"),
        (lambda raw: raw["sign_off"].update(approvals=0), "sign_off.approvals"),
        (lambda raw: raw["sign_off"].update(valid_days="90"), "sign_off.valid_days"),
        (lambda raw: raw["sign_off"].update(valid_days=1.5), "sign_off.valid_days"),
        (lambda raw: raw["comparison"].update(required="yes"), "comparison.required"),
        (lambda raw: raw.update(endpoints=[]), "endpoints"),
        (lambda raw: raw["endpoints"].append({"metric": "coco/x", "margin": 0.1, "why": "y"}), "at most 6"),
        (lambda raw: raw["endpoints"][0].update(metric="imagenet/acuracy_at_1"), "unknown metric 'imagenet/acuracy_at_1'"),
        (lambda raw: raw["endpoints"][0].update(margin=-0.01), "endpoints.0.margin"),
        (lambda raw: raw["endpoints"][0].update(margin=float("nan")), "endpoints.0.margin"),
        (lambda raw: raw["endpoints"][0].update(maregin=0.1), "Did you mean 'margin'"),
        (lambda raw: raw["endpoints"][1].update(metric="imagenet/accuracy_at_1"), "imagenet/accuracy_at_1 stands there more than once"),
        (lambda raw: raw["margins"][0].update(margin=0.0), "margins.0.margin"),
        (lambda raw: raw["benchmarks"][0]["protocol"].update(limit=float("nan")), "finite"),
        (lambda raw: raw["rules"].append(raw["rules"][0]), "accuracy stands there more than once"),
        (lambda raw: raw["rules"][0].update(merric="x"), "Did you mean 'metric'"),
        (lambda raw: raw["rules"][0].update(kind="non-inferior"), "Did you mean 'non-inferiority'"),
        (lambda raw: raw["rules"][0].update(metric="imagnet/accuracy_at_1"), "matches no metric of the policy's benchmarks"),
        (lambda raw: raw["rules"][0].update(metric="coco/accuracy_at_1"), "matches no metric of the policy's benchmarks"),
        (lambda raw: raw["rules"][1].update(metric="facet/*_retrieval_recall_at_1"), "rule 'retrieval'"),
        (lambda raw: raw["benchmarks"].pop(), "rule 'group skew': 'fairface/*/mean_skew_at_*' matches no metric"),
        (lambda raw: raw["rules"][2].pop("margin"), "rules.2: equivalence needs a margin"),
        (lambda raw: raw["sign_off"].update(reviewers=[{"nmae": "R. One"}]), "Did you mean 'name'"),
        (lambda raw: raw["sign_off"].update(reviewers={"name": "R. One"}), "sign_off.reviewers"),
        (lambda raw: raw["sign_off"].update(approvers=[]), "Did you mean 'approvals'"),
        (lambda raw: raw["planning"].update(churns=1), "Did you mean 'churn'"),
        (lambda raw: raw["planning"].update(churn=1.0), "planning.churn"),
        (lambda raw: raw["planning"]["images"].update(imagenet=0), "planning.images.imagenet"),
        (lambda raw: raw.update(name="policy.yaml"), "cannot name a policy"),
        (lambda raw: raw.update(name="0123456789ab"), "cannot name a policy"),
        (lambda raw: raw.update(name="two words"), "cannot name a policy"),
    ],
)
def test_a_bad_policy_is_refused_with_its_place(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(ValueError, match="not a valid policy") as error:
        policy_from(changed(change))
    assert said in str(error.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"valid_days.*nmae|nmae.*valid_days"):
        policy_from(changed(lambda raw: (raw.update(nmae="x"), raw["sign_off"].update(valid_days=-1))))


@pytest.mark.parametrize("text", ["", "- a", "3", "name: a\nname: b", "a: [", "\0", "name: !!python/object:os.system x", "? [a]\n: b"])
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"policy\.yaml"):
        load_policy(file)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(DEFAULT_POLICY.read_text(encoding="utf-8") + "name: again\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'name' stands there twice"):
        load_policy(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no policy file at"):
        load_policy(tmp_path / "absent.yaml")


def test_the_digest_covers_content_and_not_layout(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("# another comment\n" + yaml.safe_dump(RAW, sort_keys=True), encoding="utf-8")
    assert load_policy(file).digest() == load_policy().digest()


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["sign_off"].update(valid_days=91),
        lambda raw: raw["sign_off"].update(why="other"),
        lambda raw: raw["benchmarks"].append({"name": "tools", "why": "our own"}),
        lambda raw: raw["rules"].pop(),
        lambda raw: raw["rules"].reverse(),
        lambda raw: raw["rules"][0].update(margin=0.011),
        lambda raw: raw["rules"][0].update(level=0.9),
        lambda raw: raw["sign_off"].update(reviewers=[{"name": "R. One", "experiment_id": "3"}]),
        lambda raw: raw["planning"].update(churn=0.06),
        lambda raw: raw.pop("planning"),
        lambda raw: raw["benchmarks"][0]["protocol"].clear(),
        lambda raw: raw["comparison"].update(required=False),
        lambda raw: raw.update(name="other"),
    ],
)
def test_the_digest_changes_with_every_entry(change: Callable[[dict[str, Any]], object]) -> None:
    assert policy_from(changed(change)).digest() != policy_from(RAW).digest()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(sorted(RAW)), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(RAW)), VALUES)
def test_any_value_gives_a_policy_or_a_value_error(key: str, value: Any) -> None:
    try:
        policy = policy_from(RAW | {key: value})
    except ValueError:
        return
    assert len(policy.digest()) == 64


PARTS = [("rules", 0), ("rules", 3), ("sign_off",), ("planning",), ("benchmarks", 0), ("comparison",)]
PEOPLE = st.fixed_dictionaries({"name": st.text(max_size=4), "experiment_id": st.sampled_from(["1", "2", ""])})


@given(st.sampled_from(PARTS), st.data())
def test_any_value_within_a_part_gives_a_policy_or_a_value_error(place: tuple[Any, ...], data: st.DataObject) -> None:
    raw = copy.deepcopy(RAW)
    part = raw
    for step in place:
        part = part[step]
    part[data.draw(st.sampled_from(sorted(part)) | st.text(max_size=5))] = data.draw(VALUES | st.lists(PEOPLE, max_size=3))
    try:
        policy = policy_from(raw)
    except ValueError:
        return
    assert policy_from(policy.model_dump(mode="json")) == policy


def test_what_a_policy_says_reads_back_the_same() -> None:
    policy = load_policy()
    assert policy_from(policy.model_dump(mode="json")).digest() == policy.digest()


SOURCE = DEFAULT_POLICY.read_bytes()
SIGNS = st.sampled_from([bytes([sign]) for sign in b"&*!|>-:{}[],#\t"])
SPLICES = st.lists(
    st.tuples(st.integers(0, len(SOURCE)), st.integers(0, 40), st.binary(max_size=3) | SIGNS)
    | st.tuples(st.integers(0, len(SOURCE)), st.integers(0, 400), st.just(b"")),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SPLICES)
def test_a_file_with_spoilt_bytes_gives_a_policy_or_a_value_error(tmp_path: Path, splices: list[tuple[int, int, bytes]]) -> None:
    spoilt = SOURCE
    for start, length, put in splices:
        spoilt = spoilt[:start] + put + spoilt[start + length :]
    file = tmp_path / "policy.yaml"
    file.write_bytes(spoilt)
    try:
        policy = load_policy(file)
    except ValueError:
        return
    assert policy_from(policy.model_dump(mode="json")) == policy
