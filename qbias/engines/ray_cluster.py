"""Reaching a Ray cluster, and what its workers are: every one must give the numbers that this process would give.

Nothing is left to chance or to a long wait: an address is tried for a bounded time in a process of its own, and each node says what it
computes with before any work is sent.
"""

import logging
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qbias.digests import file_digest, mapping_digest
from qbias.quantizers.torch_encoder import missing_packages

CONNECT_S = 5.0
JOIN_S = 60.0
ANSWER_S = 180.0
"""The longest waits: for the head's port, for Ray to let a process in, and for every node to say what it is."""
CODE = ("arms.py", "batch_size.py", "embed.py", "encoder.py", "environment.py", "pipeline.py", "engines/*.py", "quantizers/*.py")
"""The modules of this project that a row depends on, or that sender and worker must agree in."""
TRY = "import sys, ray; ray.init(address=sys.argv[1], logging_level='ERROR', log_to_driver=False)"
REMEDY = "install the same versions everywhere and use machines of one kind, or take that node out of the cluster"


@dataclass(frozen=True)
class Node:
    """A node that can work: its id, a name for messages, and how many actors it has room for (a core or a GPU each)."""

    id: str
    name: str
    places: int


def connect(address: str) -> None:
    """Join the cluster at `address`; where this process belongs to one already, that one is used.

    Parameters
    ----------
    address : `auto`, or `host:port` of the head.

    Raises
    ------
    ValueError
        If Ray is not installed, or the cluster cannot be reached within CONNECT_S + JOIN_S seconds.
    """
    if missing_packages(["ray"]):
        raise ValueError("engine=ray: ray is not installed: pip install 'qbias[ray]' (here and on every node), or leave engine=local")
    # What its C++ part says of itself is of no use to whoever reads a verb's messages; it is set before the import.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        return
    if address != "auto":
        _see_that_someone_listens(address)
    _try(address)
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)


def _see_that_someone_listens(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"ray_address={address!r}: give auto, or the head's host:port, such as 10.0.0.5:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ValueError(
            f"ray_address={address}: nobody answers there ({error}): start the head with 'ray start --head --port={port}', or leave "
            "engine=local"
        ) from None


def _try(address: str) -> None:
    """Join in another process first: what listens there may be no Ray, or another version of it, and then this one would hang or die."""
    try:
        tried = subprocess.run([sys.executable, "-c", TRY, address], capture_output=True, text=True, timeout=JOIN_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ValueError(f"ray_address={address}: no Ray cluster lets this process in within {JOIN_S:g} s; {_HOW}") from None
    if tried.returncode:
        said = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
        raise ValueError(f"ray_address={address}: no Ray cluster can be joined ({said[-1] if said else 'it died'}); {_HOW}")


_HOW = (
    "this machine must be a node of the cluster ('ray start --address=<head>:6379'), with the same versions of Ray and Python; "
    "or leave engine=local"
)


def facts() -> dict[str, str]:
    """All that the rows of a batch depend on in this process: this project's code, Python, processor and libraries."""
    found = {"qbias": f"code {_code()[:12]}", "python": ".".join(platform.python_version_tuple()[:2])}
    from qbias.environment import LIBRARIES, library_version, machine_facts, one_thread_per_batch

    found |= {name: library_version(name) for name in LIBRARIES}
    try:
        one_thread_per_batch()
        return found | machine_facts()
    except (ImportError, ValueError) as error:
        return found | {"cannot compute": str(error)}


def _code() -> str:
    """Digest of the modules between pixels and rows."""
    package = Path(__file__).resolve().parent.parent
    return mapping_digest({str(file.relative_to(package)): file_digest(file) for part in CODE for file in sorted(package.glob(part))})


def settings() -> dict[str, str]:
    """Settings of this process for its workers: device, cache, and one batch at a time in each."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("QBIAS_")}
    return kept | {"QBIAS_WORKERS": "1", "TOKENIZERS_PARALLELISM": "false"}


def nodes(kind: str) -> list[Node]:
    """The living nodes with a core (`CPU`) or a GPU (`GPU`) to work on."""
    import ray

    found = []
    for row in ray.nodes():
        places = int(row["Resources"].get(kind, 0))
        if row["Alive"] and places:
            found.append(Node(row["NodeID"], f"{row['NodeManagerHostname']} {row['NodeManagerAddress']} ({row['NodeID'][:8]})", places))
    return found


def compared_nodes(kind: str, ours: Mapping[str, str]) -> list[Node]:
    """The nodes with room for actors, after each was found to compute as this process does, whose facts are `ours`.

    Raises
    ------
    ValueError
        If there is none, one does not answer, or one differs; every difference is named.
    """
    there = nodes(kind)
    if not there:
        raise ValueError(f"engine=ray: no node of the cluster has a {kind} to work on: start one, or leave engine=local")
    faults = []
    for node, theirs in zip(there, _asked(there, kind), strict=True):
        if said := difference(ours, theirs):
            faults.append(f"node {node.name}: {said}")
    if faults:
        raise ValueError(f"engine=ray: workers would not give the numbers of this process. {'. '.join(faults)}: {REMEDY}")
    return there


def difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """How a worker's facts differ from this process's, in words; empty if they do not."""
    names = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    return ", ".join(f"{name} is {theirs.get(name, 'not said')} (here {ours.get(name, 'nothing of the kind')})" for name in names)


def _asked(there: list[Node], kind: str) -> list[dict[str, str]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def ask(environment: dict[str, str]) -> dict[str, str]:
        # A function in a function travels with its code, so that a worker without qbias can say so.
        import os

        os.environ.update(environment)
        try:
            from qbias.engines.ray_cluster import facts
        except ImportError as error:
            return {"cannot compute": str(error)}
        return facts()

    remote, gpus = ray.remote(ask), 1 if kind == "GPU" else 0
    asked = []
    for node in there:
        exactly = NodeAffinitySchedulingStrategy(node.id, soft=False)
        there_only = remote.options(num_cpus=0, num_gpus=gpus, max_retries=0, scheduling_strategy=exactly)
        asked.append(there_only.remote(settings()))
    _, late = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_S)
    if late:
        names = ", ".join(node.name for node, one in zip(there, asked, strict=True) if one in late)
        raise ValueError(f"engine=ray: {names} did not say within {ANSWER_S:g} s what it computes with: look at its logs, or take it out")
    return [_answer(node, one) for node, one in zip(there, asked, strict=True)]


def _answer(node: Node, asked: Any) -> dict[str, str]:
    import ray

    try:
        return dict(ray.get(asked))
    except ray.exceptions.RayError as error:
        raise ValueError(f"engine=ray: node {node.name} cannot say what it computes with: {str(error).strip().splitlines()[-1]}") from error
