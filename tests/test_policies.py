"""Several policies side by side: found by name, digest or path; every shipped one is whole and says why."""

import shutil
from pathlib import Path

import pytest
import yaml

from registry import policies as module
from registry.policies import policies, policy_named
from registry.policy import DEFAULT_POLICY, load_policy

NAMES = ("default", "averages", "two-people")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


def test_the_shipped_policies() -> None:
    found = policies()
    assert tuple(found) == NAMES
    assert len({row.digest() for row in found.values()}) == len(NAMES)
    for name, policy in found.items():
        assert policy.name == name
        assert policy.rules
        assert policy.planning
        assert policy.trusted_experiments() is None, "who may sign is for whoever uses it to say"
        whys = [row.why for row in (*policy.benchmarks, *policy.endpoints, *policy.margins, *policy.rules)]
        assert all(len(why.split()) > 1 for why in whys)


def test_the_stricter_one_asks_for_no_more_leeway_than_the_default() -> None:
    default, strict = policies()["default"], policies()["two-people"]
    own = {row.name: row for row in strict.rules}
    for row in default.rules:
        assert own[row.name].margin is not None
        assert row.margin is not None
        assert own[row.name].margin <= row.margin  # type: ignore[operator]
    assert strict.sign_off.approvals > default.sign_off.approvals
    assert strict.sign_off.valid_days < default.sign_off.valid_days


def test_a_policy_by_name_digest_and_path() -> None:
    for name in NAMES:
        policy = policy_named(name)
        digest = policy.digest()
        assert policy_named(digest) == policy_named(digest[:12]) == policy_named(f" {digest.upper()[:20]} ") == policy
    assert policy_named(str(DEFAULT_POLICY)).name == "default"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("avreages", "Did you mean 'averages'"),
        ("", "unknown policy"),
        ("abcdef", "at least 12"),
        ("0" * 12, "no policy here has the digest"),
        ("0" * 64, "averages "),
        ("0" * 65, "unknown policy"),
        ("gone.yaml", "no policy file at gone.yaml"),
        ("/nowhere/gone.yml", "no policy file at"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        policy_named(given)


def test_a_policy_of_ones_own(folder: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8")) | {"name": "ours"}
    (folder / "ours.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert tuple(policies()) == ("default", "ours")
    assert policy_named("ours").digest() != load_policy().digest()
    shutil.copy(folder / "ours.yaml", tmp_path / "elsewhere.yml")
    assert policy_named(str(tmp_path / "elsewhere.yml")) == policy_named("ours")


@pytest.mark.parametrize(("file", "name"), [("ours.yaml", "others"), ("default.yaml", "default"), ("ours.yaml", "default")])
def test_a_file_is_named_after_its_policy(folder: Path, file: str, name: str) -> None:
    raw = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8")) | {"name": name}
    (folder / file).write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ValueError, match="name the file after its policy"):
        policies()


def test_one_bad_file_is_named(folder: Path) -> None:
    (folder / "bad.yaml").write_text("name: bad\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.yaml is not a valid policy"):
        policy_named("default")
