"""Who may sign: entries that are read, and every way in which two people could sign as each other or nobody could."""

import base64
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.people import KEY_TYPES, Signer, SignOff
from registry.policy import load_policy, policy_from


def key(kind: str = "ssh-ed25519", seed: int = 1, comment: str = "") -> str:
    """A line like those that ssh-keygen writes."""
    fields = [kind.encode(), bytes([seed]) * 32]
    blob = b"".join(len(field).to_bytes(4) + field for field in fields)
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".strip()


def person(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"name": f"R. {number}", "user": f"r{number}", "experiment_id": f"{number}", "key": key(seed=number)} | changes


def signed_off(*reviewers: dict[str, Any], **changes: Any) -> SignOff:
    return SignOff.model_validate({"approvals": 1, "valid_days": 90, "reviewers": list(reviewers), "why": "test"} | changes)


def test_lists_are_kept_with_those_who_may_no_longer_sign() -> None:
    found = signed_off(person(1), person(2, active=False), {"name": "R. 3", "experiment_id": "3"}, promoters=[person(1), person(4)])
    policy = load_policy().model_copy(update={"sign_off": found})
    assert [row.name for row in policy.people("review")] == ["R. 1", "R. 2", "R. 3"]
    assert [row.active for row in policy.people("review")] == [True, False, True]
    assert [row.name for row in policy.people("promotion")] == [row.name for row in policy.people("rollback")] == ["R. 1", "R. 4"]
    assert policy.trusted_experiments() == {"1", "2", "3", "4"}


@pytest.mark.parametrize("lists", [{}, {"reviewers": [person(1)]}, {"promoters": [person(1)]}])
def test_where_a_list_is_empty_any_experiment_counts(lists: dict[str, Any]) -> None:
    found = SignOff.model_validate({"approvals": 1, "valid_days": 90, "why": "test"} | lists)
    assert load_policy().model_copy(update={"sign_off": found}).trusted_experiments() is None


BAD: list[tuple[Any, str]] = [
    (lambda: signed_off(person(1), person(2, name="R. 1")), "name r. 1 stands there more than once"),
    (lambda: signed_off(person(1), person(2, name="r. 1")), "name r. 1 stands there more than once"),
    (lambda: signed_off(person(1), person(2, experiment_id="1")), "experiment_id 1 stands there more than once"),
    (lambda: signed_off(person(1), person(2, user="R1")), "user r1 stands there more than once"),
    (lambda: signed_off(person(1), person(2, key=key(seed=1, comment="other"))), "stands there more than once"),
    (lambda: signed_off(person(1), person(2, active=False), approvals=2), "1 of the reviewers is active"),
    (lambda: signed_off(person(1, active=False)), "0 of the reviewers is active"),
    (lambda: signed_off(promoters=[person(1, active=False)]), "none of the promoters is active"),
    (lambda: signed_off(person(1), promoters=[person(2, experiment_id="1")]), "experiment_id 1 belongs to R. 1 and to R. 2"),
    (lambda: signed_off(person(1), promoters=[person(2, key=key(seed=1))]), "each could sign as the other"),
    (lambda: signed_off(person(1), promoters=[person(2, user="r1")]), "user r1 belongs to"),
    (lambda: signed_off(person(1, name=" ")), "is empty"),
    (lambda: signed_off(person(1, name="R. 1 ")), "one line"),
    (lambda: signed_off(person(1, name="R.\n1")), "one line"),
    (lambda: signed_off(person(1, name="R. \x1b[2J")), "one line"),
    (lambda: signed_off(person(1, user="")), "is empty"),
    (lambda: signed_off(person(1, experiment_id=3)), "experiment_id"),
    (lambda: signed_off(person(1, experiment_id="")), "no experiment id"),
    (lambda: signed_off(person(1, experiment_id="reviews")), "no experiment id"),
    (lambda: signed_off(person(1, experiment_id="٣")), "no experiment id"),
    (lambda: signed_off({"name": "R. 1"}), "experiment_id"),
    (lambda: signed_off(person(1, active="yes")), "active"),
    (lambda: signed_off(person(1, role="x")), "role"),
    (lambda: signed_off(approvals=0), "approvals"),
    (lambda: signed_off(valid_days=10**6), "valid_days"),
]


@pytest.mark.parametrize(("make", "said"), BAD)
def test_bad_lists_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_public_keys_are_taken(kind: str) -> None:
    assert Signer(name="R. 1", experiment_id="1", key=key(kind)).key == key(kind)
    assert Signer(name="R. 1", experiment_id="1", key=key(kind, comment="a b@c"))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", key("ssh-dss"), key()[:-8],
        key().replace("ssh-ed25519 ", "ssh-rsa "), key() + "\n" + key(), f" {key()}", f"command=x {key()}", "AAAA", key().split(" ")[1],
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no OpenSSH public key"):
        Signer(name="R. 1", experiment_id="1", key=text)


def test_a_private_key_is_refused_without_repeating_it() -> None:
    text = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n"
    raw = load_policy().model_dump(mode="json")
    raw["sign_off"]["reviewers"] = [person(1, key=text)]
    with pytest.raises(ValueError, match="is a private key") as error:
        policy_from(raw)
    assert "c2VjcmV0" not in str(error.value)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_the_real_tool_are_taken(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(file)], check=True)
    line = file.with_suffix(".pub").read_text(encoding="utf-8").strip()
    assert Signer(name="R. 1", experiment_id="1", key=line).key == line


@given(st.text() | st.binary().map(lambda blob: f"ssh-ed25519 {base64.b64encode(blob).decode()}"))
def test_any_text_is_a_key_or_a_value_error(text: str) -> None:
    try:
        found = Signer(name="R. 1", experiment_id="1", key=text)
    except ValueError:
        return
    assert found.key
    assert found.key.split(" ")[0] in KEY_TYPES
