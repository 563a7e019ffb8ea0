"""The policies side by side: policy.yaml is the default, each file in policies/ another one, found by name, digest or path."""

import re
from pathlib import Path

from qbias.tables import pick
from registry.policy import DEFAULT_POLICY, Policy, load_policy

FOLDER = DEFAULT_POLICY.with_name("policies")
SHORTEST_DIGEST = 12
"""Hex digits: fewer are too easily another policy's."""


def policies() -> dict[str, Policy]:
    """Every policy that stands here, by name: `default` first, then the files of policies/ in the order of their names.

    Raises
    ------
    ValueError
        If a file is no valid policy, or its name is not that of the policy in it.
    """
    found = {"default": load_policy()}
    for file in sorted(FOLDER.glob("*.yaml")):
        policy = load_policy(file)
        if policy.name != file.stem or policy.name in found:
            raise ValueError(f"{file.name} holds a policy named {policy.name!r}: name the file after its policy, and no policy twice")
        found[policy.name] = policy
    if found["default"].name != "default":
        raise ValueError(f"{DEFAULT_POLICY.name} holds a policy named {found['default'].name!r}: it is the one named 'default'")
    return found


def policy_named(given: str) -> Policy:
    """The policy that is meant by a name, a digest or a path.

    Parameters
    ----------
    given : a policy's name, its sha256 or at least the first 12 digits of it, or the path of a YAML file.

    Raises
    ------
    ValueError
        If there is none (with what there is), or several begin with these digits, or the file is no valid policy.
    """
    given = given.strip()
    if given.endswith((".yaml", ".yml")):
        return load_policy(Path(given))
    known = policies()
    if given not in known and re.fullmatch(r"[0-9a-fA-F]{4,64}", given):
        return _by_digest(known, given.lower())
    return pick(known, given, what="policy")


def _by_digest(known: dict[str, Policy], digits: str) -> Policy:
    found = [policy for policy in known.values() if policy.digest().startswith(digits)]
    there = ", ".join(f"{name} {policy.digest()[:SHORTEST_DIGEST]}" for name, policy in known.items())
    if len(digits) < SHORTEST_DIGEST:
        raise ValueError(f"{digits} has {len(digits)} digits: give at least {SHORTEST_DIGEST} of a policy's digest. There are {there}")
    if len(found) != 1:
        raise ValueError(f"no policy here has the digest {digits}: give the path of its YAML file, or one of {there}")
    return found[0]
