"""`engine=ray` with two workers against one, beside what two bare processes reach against one; each is pinned to a core of its own.

Two cores of one machine share memory and cache, so even two processes that know nothing of each other are not twice as fast as one: that
is the measure. A ViT-B/32 with drawn weights; the rate of a steady stretch counts, for workers take equally long to start, however many.
Needs two cores, Linux, and the extra `ray`; the cluster is a real one, a node for each core, on loopback.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benches.models import ARCHITECTURE, quantized
from benches.rows import Row
from qbias.benchmarks.content import canonical_order, finished, unfinished
from qbias.convert import convert
from qbias.embed import batches
from qbias.engines import Model, source_of
from qbias.environment import one_thread_per_batch
from qbias.quantizers import load_encoder
from qbias.records import Dataset
from tests.tiny_open_clip import drawn_model, save

BATCH, EACH, ROUNDS = 16, 18, 2
"""Images in a batch; batches for each worker; how often all four are measured, in turn (the fastest counts)."""
SETTLE = 4
"""Batches for each worker before the steady stretch begins, and one each after it ended."""
BARE = """
import os, sys, time
from pathlib import Path
os.sched_setaffinity(0, {int(sys.argv[2])})
import numpy as np
from qbias.environment import one_thread_per_batch
from qbias.quantizers import load_encoder
one_thread_per_batch()
encoder = load_encoder(Path(sys.argv[1]))
pixels = np.random.default_rng(0).integers(0, 256, (int(sys.argv[3]), 224, 224, 3), dtype=np.uint8)
encoder.images(pixels)
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
for _ in range(int(sys.argv[4])):
    encoder.images(pixels)
print(time.perf_counter() - started, flush=True)
"""


def rows() -> list[Row]:
    """Speed-ups and their ratio."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("this bench needs two cores")
    # Read when Ray is first imported: no telemetry, and all of it on loopback.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    one_thread_per_batch()
    with tempfile.TemporaryDirectory(prefix="qbias-bench-") as scratch:
        home = Path(scratch)
        os.environ["QBIAS_CACHE"] = str(home / "cache")
        baseline = convert(ARCHITECTURE, save(drawn_model(ARCHITECTURE), home / "drawn.safetensors"), home / "baseline")
        folder = quantized(baseline, home, ["fp32"])["fp32"]
        data = _data(home / "images", BATCH * EACH * 2)
        encoder = load_encoder(folder)
        model = Model("ViT-B/32", encoder, source_of(encoder))
        rates: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for count in (1, 2):
                rates.setdefault(f"bare {count}", []).append(_bare(folder, cores[:count]))
                rates.setdefault(f"ray {count}", []).append(_ray(model, data, cores[:count]))
    best = {name: max(found) for name, found in rates.items()}
    bare, ray = best["bare 2"] / best["bare 1"], best["ray 2"] / best["ray 1"]
    return [
        *(Row(f"ViT-B/32 on {name.replace(' ', ', processes: ')}", rate, "images/s") for name, rate in best.items()),
        Row("two bare processes / one", bare, "times"),
        Row("engine=ray, two workers / one", ray, "times"),
        Row("  that / what bare processes reach", ray / bare, "of 1", least=0.95),
    ]


def _data(root: Path, count: int) -> Dataset:
    """One image under many ids: pixels are decoded before the clock starts."""
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "one.png")
    images = {"id": [str(number) for number in range(count)], "path": ["one.png"] * count}
    texts = {"text": ["a caption"] * count, "image": list(range(count))}
    return finished(unfinished("bench", "retrieval", root, images, texts, {"ks": [1]}), limit=None)


def _bare(folder: Path, cores: list[int]) -> float:
    """Images per second of a process on each core, which begin together."""
    words = [(sys.executable, "-c", BARE, str(folder), str(core), str(BATCH), str(EACH - SETTLE - 1)) for core in cores]
    started: list[Any] = [subprocess.Popen(word, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for word in words]  # noqa: S603
    for process in started:
        process.stdout.readline()
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    seconds = [float(process.communicate()[0]) for process in started]
    return sum(BATCH * (EACH - SETTLE - 1) / each for each in seconds)


def _ray(model: Model, data: Dataset, cores: list[int]) -> float:
    """Images per second of a cluster with a node on each core, in the middle of its work."""
    from qbias.engines.ray_data import RayEngine

    pieces = list(batches(BATCH * EACH * len(cores), BATCH))
    with _cluster(cores):
        run = RayEngine("CPU", few=0).image_run(model, data, canonical_order(list(data.images["id"])))
        times = [time.perf_counter() for _ in run(iter(pieces))]
    first, last = SETTLE * len(cores), len(times) - 1 - len(cores)
    return BATCH * (last - first) / (times[last] - times[first])


@contextmanager
def _cluster(cores: list[int]) -> Iterator[None]:
    """A head without cores and a node pinned to each core: what a process starts stays on the cores that it may use itself."""
    import ray
    from ray.cluster_utils import Cluster

    from qbias.engines.ray_cluster import connect

    common: dict[str, Any] = {"node_ip_address": "127.0.0.1", "object_store_memory": 200 << 20}
    all_cores, there = os.sched_getaffinity(0), Cluster()
    try:
        there.add_node(num_cpus=0, include_dashboard=False, **common)
        for core in cores:
            os.sched_setaffinity(0, {core})
            there.add_node(num_cpus=1, **common)
        os.sched_setaffinity(0, all_cores)
        connect(there.address)
        yield
    finally:
        os.sched_setaffinity(0, all_cores)
        ray.shutdown()
        there.shutdown()
