"""`engine=ray` on a real cluster of several nodes on loopback: the same bits, shared shards, dead workers and nodes, unlike workers.

One cluster serves all tests: a head without cores, which this process joins, and two nodes of one core.
"""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qbias.benchmarks.content import canonical_order
from qbias.embed import batches
from qbias.engines import LOCAL, Model, ray_data, source_of
from qbias.environment import one_thread_per_batch
from qbias.models import MODELS
from qbias.passes import PASSES, Count
from qbias.protocol import Protocol
from qbias.quantizers import QUANTIZERS, load_encoder
from qbias.records import Dataset
from qbias.store import cache_root
from qbias.subject import Subject
from tests.test_pixels import drawn

# Read when ray is first imported, so it stands here. Ray puts the machine's own address in the place of 127.0.0.1, unless it is told that
# no other machine belongs to the cluster.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
pytestmark = [
    pytest.mark.skipif(not find_spec("ray"), reason="the extra 'ray' is not installed"),
    # Ray's own use of what it deprecates.
    pytest.mark.filterwarnings(
        "ignore:`use_:DeprecationWarning:ray",
        "ignore::ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
    ),
]
NODE: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
TOY = "toy-s8-balanced"
PRECISIONS = ("torch-int8", "bnb-int8", "ort-int8")
"""One of each library."""


@dataclass(frozen=True)
class Cluster:
    """The cluster, and a dataset with models to embed it with."""

    ray: Any
    nodes: list[Any]
    data: Dataset
    models: dict[str, Model]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(home / "cache"))
        import ray
        from ray.cluster_utils import Cluster as RayCluster

        from qbias.engines.ray_cluster import connect

        one_thread_per_batch()
        models = {}
        for name in ("fp32", *PRECISIONS):
            QUANTIZERS[name].save(MODELS[TOY].folder(), home / name)
            encoder = load_encoder(home / name)
            models[name] = Model(name, encoder, source_of(encoder))
        there = RayCluster()
        try:
            there.add_node(**NODE | {"num_cpus": 0, "include_dashboard": False})
            nodes = [there.add_node(**NODE) for _ in range(2)]
            connect(there.address)
            yield Cluster(there, nodes, drawn(home / "images", 600), models)
        finally:
            ray.shutdown()
            there.shutdown()


@contextmanager
def another_node(cluster: Cluster, **environment: str) -> Iterator[Any]:
    """One more node, whose workers have other settings."""
    node = cluster.ray.add_node(**NODE, env_vars=environment)
    try:
        yield node
    finally:
        cluster.ray.remove_node(node)


@pytest.fixture(scope="module")
def engine(cluster: Cluster) -> Any:
    """The engine, which sends even one batch away."""
    from qbias.engines.ray_data import RayEngine

    return RayEngine("CPU", few=0)


def shards(tower: str) -> dict[str, bytes]:
    root = cache_root() / "embeddings" / tower
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*.npy"))}


@pytest.mark.parametrize("quantizer", PRECISIONS)
def test_the_same_bits_in_the_same_shards_and_each_goes_on_from_the_other(cluster: Cluster, engine: Any, quantizer: str) -> None:
    model, protocol = cluster.models[quantizer], Protocol(batch_size=16)
    local = Subject(quantizer, lambda frame: None, model.encoder, quantizer, model.source)
    shutil.rmtree(cache_root() / "embeddings", ignore_errors=True)
    local.stored_images(cluster.data, protocol)
    wanted = shards("images")
    assert len(wanted) == 5
    for file in sorted((cache_root() / "embeddings").rglob("*.npy"))[1:4]:
        file.unlink()
    before = PASSES.now()
    replace(local, engine=engine).stored_images(cluster.data, protocol)
    assert shards("images") == wanted
    assert PASSES.now() - before == Count(images=3 * 8 * 16, image_batches=3 * 8)
    before = PASSES.now()
    local.stored_images(cluster.data, protocol)
    assert PASSES.now() - before == Count()


def test_texts_too_and_several_batches_in_a_message(cluster: Cluster, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ray_data.GROUP, "cpu", 3)
    model, texts = cluster.models["torch-int8"], list(cluster.data.texts["text"])[:100]
    pieces = list(batches(len(texts), 16))
    before = engine.done.total()
    there = list(engine.text_run(model, texts)(iter(pieces)))
    here = list(LOCAL.text_run(model, texts)(iter(pieces)))
    assert [rows.tobytes() for rows in there] == [rows.tobytes() for rows in here]
    assert engine.done.total() - before == 3


def test_few_batches_stay_here(cluster: Cluster, engine: Any) -> None:
    engine.done.clear()
    engine._few = 2
    try:
        assert len(list(engine.text_run(cluster.models["fp32"], ["a", "b"])(batches(2, 1)))) == 2
    finally:
        engine._few = 0
    assert not engine.done


def test_a_model_without_a_source_is_refused(cluster: Cluster, engine: Any) -> None:
    model = Model("mine", cluster.models["fp32"].encoder)
    with pytest.raises(ValueError, match="mine cannot be made again on other machines: evaluate it with engine=local"):
        list(engine.text_run(model, ["a"])(batches(1, 1)))


def worker_of(node: Any) -> int:
    """The process of an actor that holds an Encoder on this node: a child of the node's own process."""
    (parent,) = (started.process.pid for started in node.all_processes["raylet"])
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            title = stat.with_name("cmdline").read_bytes()
            if b"BatchEncoder" in title and int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                return int(stat.parent.name)
    raise AssertionError("no worker holds an Encoder there")


def test_a_worker_and_then_a_node_that_die_midway_change_nothing(cluster: Cluster, engine: Any) -> None:
    """One node's worker is killed, and the other node whole; what is left finishes, and every bit is as if nothing had happened."""
    model, order_N = cluster.models["fp32"], canonical_order(list(cluster.data.images["id"]))
    pieces = list(batches(600, 4))
    wanted = np.concatenate(list(LOCAL.image_run(model, cluster.data, order_N)(iter(pieces))))
    engine.done.clear()
    results = engine.image_run(model, cluster.data, order_N)(iter(pieces))
    found = [next(results) for _ in range(3)]
    os.kill(worker_of(cluster.nodes[0]), signal.SIGKILL)
    left, dead = cluster.nodes[0].node_id, cluster.nodes[1].node_id
    cluster.ray.remove_node(cluster.nodes.pop(), allow_graceful=False)
    found += list(results)
    assert np.concatenate(found).tobytes() == wanted.tobytes()
    assert engine.done.total() == len(pieces)
    assert engine.done[left] > engine.done[dead], "there was work left when the node died"


def write_distribution(folder: Path, name: str, version: str) -> None:
    """What pip leaves of a package, as far as its version can be asked for."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_another_processor_is_refused(cluster: Cluster) -> None:
    import torch

    from qbias.engines.ray_cluster import compared_nodes, facts

    if (here := torch.backends.cpu.get_cpu_capability()) == "DEFAULT":
        pytest.skip("this processor has no other capability to compare")
    with another_node(cluster, ATEN_CPU_CAPABILITY="default") as node:
        with pytest.raises(ValueError, match=re.escape(f"cpu_capability is DEFAULT (here {here})")) as refused:
            compared_nodes("CPU", facts())
    assert str(refused.value).count("127.0.0.1") == 1, "the other nodes are fit"
    assert node.node_id[:8] in str(refused.value)


def test_another_version_and_a_missing_library_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    from qbias.engines.ray_cluster import compared_nodes, facts

    write_distribution(tmp_path, "pillow", "1.0")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('No module named torch')")
    with another_node(cluster, PYTHONPATH=str(tmp_path)):
        with pytest.raises(ValueError, match=r"pillow is 1\.0 \(here \d+.*cannot compute is No module named torch"):
            compared_nodes("CPU", facts())
