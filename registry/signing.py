"""Signatures with a person's SSH key: made by `ssh-keygen -Y sign`, checked with the public key alone."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMESPACE = "qbias"
"""Part of what is signed, so that a signature given elsewhere with the same key is none here."""
TIMEOUT_S = 120
"""Long enough to touch a hardware key."""


def sign(data: bytes, key: Path) -> bytes:
    """The signature of `data` by an SSH key, in OpenSSH's armoured form.

    Parameters
    ----------
    data : what is signed.
    key : a private key's file; or a public key's, whose private half an agent holds.

    Raises
    ------
    ValueError
        If there is no such file, `ssh-keygen` is not installed, or the key cannot be used: it has a passphrase and no agent holds it.
    """
    if not key.is_file():
        raise ValueError(f"signing_key={str(key)!r}: there is no such file; give an SSH key's, such as ~/.ssh/id_ed25519")
    made = _ssh_keygen("sign", "-f", str(key.absolute()), data=data)
    if made.returncode or not made.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        said = made.stderr.decode(errors="replace").strip() or "no reason given"
        raise ValueError(
            f"signing_key={str(key)!r} could not sign ({said}): if it has a passphrase, add it to an agent first "
            "('eval $(ssh-agent)', 'ssh-add <key>'), since nobody is asked for it here"
        )
    return made.stdout


def verify(data: bytes, signature: bytes, public_key: str, name: str = "") -> bool:
    """Whether a signature of `data` is by this key; False for anything else, whatever it is.

    Parameters
    ----------
    data, signature : what was signed, and `sign`'s result.
    public_key : one line as in a `.pub` file, `ssh-ed25519 AAAA...`; a comment after it is not read.
    name : whose key it is; only the error names it.

    Raises
    ------
    ValueError
        If `ssh-keygen` is not installed, or `public_key` is not one line with a public key.
    """
    kind, blob = key_parts(public_key, name)
    with tempfile.TemporaryDirectory(prefix="qbias-") as folder:
        signers, signed = Path(folder) / "signers", Path(folder) / "signature"
        # The name stands for nothing in the check, and a person's name could hold what this file reads as a pattern.
        signers.write_text(f'signer namespaces="{NAMESPACE}" {kind} {blob}\n', encoding="ascii")
        signed.write_bytes(signature)
        checked = _ssh_keygen("verify", "-f", str(signers), "-I", "signer", "-s", str(signed), data=data)
    return checked.returncode == 0


def key_parts(public_key: str, name: str = "") -> tuple[str, str]:
    """Kind and base64 text of a public key's line, without its comment.

    Raises
    ------
    ValueError
        If it is not one such line.
    """
    whose = f" of {name!r}" if name else ""
    parts = public_key.strip().split(maxsplit=2)
    fine = len(parts) >= 2 and "\n" not in public_key.strip() and all(part.isascii() and part.isprintable() for part in parts[:2])
    if not fine or not parts[0].startswith(("ssh-", "ecdsa-", "sk-")) or not parts[1].startswith("AAAA"):
        raise ValueError(
            f"the key{whose} is not an OpenSSH public key: {public_key[:60]!r}; give the line of a .pub file, 'ssh-ed25519 AAAA...'"
        )
    return parts[0], parts[1]


def public_key_of(key: Path) -> str:
    """The line of the public key that belongs to a key's file: kind and base64 text.

    Raises
    ------
    ValueError
        If it cannot be found: the key has a passphrase and there is no `.pub` file beside it.
    """
    beside = key.with_name(f"{key.name}.pub")
    source = beside if beside.is_file() else key
    text = source.read_text(encoding="utf-8", errors="replace") if source.is_file() else ""
    if "PRIVATE KEY" in text:
        made = _ssh_keygen("", "-y", "-P", "", "-f", str(key.absolute()), data=b"")
        text = made.stdout.decode(errors="replace")
    try:
        return " ".join(key_parts(text))
    except ValueError as error:
        raise ValueError(
            f"signing_key={str(key)!r}: its public key is not known; put it beside it as {beside.name} ('ssh-keygen -y')"
        ) from error


def _ssh_keygen(action: str, *options: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen on `data`. It asks nobody anything: it has no terminal, and no program to ask with."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ValueError(
            "ssh-keygen is not installed, which makes and checks signatures: install OpenSSH's client (Debian: openssh-client)"
        )
    command = [program, *(("-Y", action, "-n", NAMESPACE) if action else ()), *options]
    quiet = os.environ | {"SSH_ASKPASS_REQUIRE": "never"}
    try:
        return subprocess.run(  # noqa: S603 - a fixed program without a shell
            command, input=data, capture_output=True, check=False, env=quiet, start_new_session=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"ssh-keygen gave no answer within {TIMEOUT_S} s: is it waiting for a hardware key?") from error
