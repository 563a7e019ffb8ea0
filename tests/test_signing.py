"""Signatures hold for one text, one key and one purpose; no key, program or agent is a message and never a question."""

import subprocess
from pathlib import Path

import pytest

from registry import signing
from registry.signing import key_parts, public_key_of, sign, verify
from tests.records_builder import new_key

pytestmark = pytest.mark.skipif(not signing.shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")
DATA = b'{"sequence":1}'


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "other"):
        new_key(folder, name)
    new_key(folder, "locked", passphrase="five words are long enough")
    return folder


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_signature_holds_for_its_key(tmp_path: Path, kind: str) -> None:
    key = new_key(tmp_path, kind=kind)
    assert verify(DATA, sign(DATA, key), public_key_of(key), "R. One")


def test_a_signature_holds_for_nothing_else(keys: Path) -> None:
    signature = sign(DATA, keys / "one")
    own = public_key_of(keys / "one")
    assert verify(DATA, signature, own)
    assert not verify(DATA + b" ", signature, own)
    assert not verify(DATA, signature, public_key_of(keys / "other"))
    assert not verify(DATA, b"", own)
    assert not verify(DATA, b"-----BEGIN SSH SIGNATURE-----\n", own)


def test_no_flipped_byte_of_a_signature_passes(keys: Path) -> None:
    signature, own = sign(DATA, keys / "one"), public_key_of(keys / "one")
    armour = signature.splitlines(keepends=True)
    inner = [number for number in range(len(armour[0]), len(signature) - len(armour[-1])) if signature[number] != ord("\n")]
    for place in inner[::29]:
        flipped = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
        assert not verify(DATA, flipped, own), place


def test_a_signature_for_another_purpose_is_none(keys: Path) -> None:
    words = ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", keys / "one"]
    made = subprocess.run(words, input=DATA, capture_output=True, check=True)
    assert not verify(DATA, made.stdout, public_key_of(keys / "one"))


def test_a_comment_and_a_name_with_patterns_change_nothing(keys: Path) -> None:
    own = public_key_of(keys / "one")
    assert verify(DATA, sign(DATA, keys / "one"), f"{own} someone@somewhere\n", '*,!"x"\n')


@pytest.mark.parametrize(
    "text",
    ["", "ssh-ed25519", "AAAA", "ssh-ed25519 xyz", "ssh-ed25519 AAAA\nssh-ed25519 AAAB", "* AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----"],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"of 'R. One' is not an OpenSSH public key"):
        verify(DATA, b"", text, "R. One")


def test_a_key_that_only_looks_like_one_verifies_nothing(keys: Path) -> None:
    assert not verify(DATA, sign(DATA, keys / "one"), "ssh-ed25519 AAAA")


def test_a_locked_key_without_an_agent_is_told_and_asks_nothing(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(ValueError, match=r"locked.*passphrase.*ssh-add"):
        sign(DATA, keys / "locked")


def test_a_locked_key_is_used_through_an_agent(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        assert b"SSH_AUTH_SOCK" in agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        # What the agent is given stands for the locked key: giving it that one itself needs somebody who types.
        subprocess.run(["ssh-add", "-q", keys / "one"], check=True, capture_output=True)
        hidden = tmp_path / "held.pub"
        hidden.write_text(public_key_of(keys / "one"))
        assert verify(DATA, sign(DATA, hidden), public_key_of(hidden))
    finally:
        agent.kill()
        agent.communicate()


def test_a_missing_key_and_a_file_that_is_none(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        sign(DATA, tmp_path / "absent")
    (tmp_path / "text").write_text("no key")
    with pytest.raises(ValueError, match="could not sign"):
        sign(DATA, tmp_path / "text")
    with pytest.raises(ValueError, match=r"put it beside it as text\.pub"):
        public_key_of(tmp_path / "text")
    with pytest.raises(ValueError, match=r"put it beside it as absent\.pub"):
        public_key_of(tmp_path / "absent")


def test_the_public_key_comes_from_beside_the_key_or_from_the_key(keys: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.write_bytes((keys / "one").read_bytes())
    alone.chmod(0o600)
    assert public_key_of(alone) == public_key_of(keys / "one") == public_key_of(keys / "one.pub")
    locked = tmp_path / "locked"
    locked.write_bytes((keys / "locked").read_bytes())
    locked.chmod(0o600)
    with pytest.raises(ValueError, match="its public key is not known"):
        public_key_of(locked)


def test_without_ssh_keygen_the_package_is_named(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"ssh-keygen is not installed.*openssh-client"):
        verify(DATA, b"", public_key_of(keys / "one"))


def test_key_parts_are_two_words() -> None:
    assert key_parts(" ssh-ed25519 AAAAC3 R. One \n") == ("ssh-ed25519", "AAAAC3")
