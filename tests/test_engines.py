"""What an engine is told, and what it says, without a cluster."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from qbias.engines import HERE, LOCAL, EngineChoice, Source, engine_named, ray_cluster, ray_data, source_of
from qbias.engines.ray_cluster import Node, difference, facts
from qbias.quantizers import QUANTIZERS, load_encoder
from tests.tiny import tiny_clip

FACTS = {"qbias": "code 1", "cpu_capability": "AVX2", "pillow": "12.0"}


def test_the_default_is_this_process() -> None:
    assert HERE.made() is LOCAL
    assert EngineChoice("local", "not looked at").made() is LOCAL


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown engine 'rey'. Did you mean 'ray'"):
        engine_named("rey")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "missing_packages", lambda names: "ray is not installed")
    ray_data.ray_engine.cache_clear()
    with pytest.raises(ValueError, match=re.escape("pip install 'qbias[ray]'")):
        engine_named("ray")


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "head:0", "head:70000"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ValueError, match=re.escape("give auto, or the head's host:port")):
        ray_cluster.connect(address)


def test_an_address_where_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        started, address = time.monotonic(), f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"ray_address={address}: nobody answers there"):
            ray_cluster.connect(address)
    assert time.monotonic() - started < ray_cluster.CONNECT_S + 1


def test_something_else_than_ray_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "JOIN_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(ValueError, match=r"no Ray cluster .*must be a node of the cluster"):
            ray_cluster.connect(f"127.0.0.1:{other.getsockname()[1]}")


def test_equal_facts_are_no_difference() -> None:
    assert difference(FACTS, dict(reversed(FACTS.items()))) == ""


def test_every_difference_is_named_with_both_sides() -> None:
    theirs = {"qbias": "code 1", "cpu_capability": "DEFAULT", "cannot compute": "No module named 'torch'"}
    assert difference(FACTS, theirs) == (
        "cpu_capability is DEFAULT (here AVX2), pillow is not said (here 12.0), "
        "cannot compute is No module named 'torch' (here nothing of the kind)"
    )


def test_facts_hold_what_rows_depend_on() -> None:
    found = facts()
    assert {"qbias", "python", "cpu_capability", "threads", "torch", "transformers", "numpy"} <= found.keys()
    assert found["threads"] == "1"


def test_a_missing_library_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr("qbias.environment.one_thread_per_batch", absent)
    assert facts()["cannot compute"] == "No module named 'torch'"


@pytest.mark.parametrize(("size", "expected"), [(1, [[0], [1], [3], [4], [5]]), (2, [[0, 1], [3, 4], [5]]), (8, [[0, 1], [3, 4, 5]])])
def test_pieces_in_a_message_follow_each_other(size: int, expected: list[list[int]]) -> None:
    pieces = [slice(start, start + 1) for start in (0, 1, 3, 4, 5)]
    assert [[piece.start for piece in group] for group in ray_data._groups(pieces, size)] == expected


def test_a_loaded_encoder_knows_its_source_and_others_do_not(tmp_path: Path) -> None:
    QUANTIZERS["fp32"].save(tiny_clip(tmp_path / "baseline"), tmp_path / "fp32")
    encoder = load_encoder(tmp_path / "fp32")
    assert source_of(encoder) == Source(tmp_path / "fp32")
    assert source_of(object()) is None  # type: ignore[arg-type]
    again, rounded = (Source(tmp_path / "fp32", bfloat16).encoder().texts(["a robot"]) for bfloat16 in (False, True))
    assert np.array_equal(again, encoder.texts(["a robot"]))
    assert not np.array_equal(again, rounded)


def test_what_a_worker_raised_is_raised_here_in_its_own_words() -> None:
    class TaskError(RuntimeError):
        cause = ValueError("batch_size=64 does not fit")

    def fail() -> None:
        raise TaskError("a long traceback")

    with ThreadPoolExecutor(1) as thread, pytest.raises(ValueError, match=r"^batch_size=64 does not fit$"):
        ray_data._finished(thread.submit(fail), 5)


def test_work_that_waits_for_a_dead_node_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = object.__new__(ray_data.RayEngine)
    engine._kind = "CPU"
    alive = [[Node("1", "one", 1), Node("2", "two", 1)]]
    left: list[bool] = []

    def forever():
        yield "a table"
        while not left:
            time.sleep(0.01)

    monkeypatch.setattr(ray_data, "nodes", lambda kind: alive[0])
    monkeypatch.setattr(ray_data, "_leave", lambda: left.append(True))
    monkeypatch.setattr(ray_data, "POLL_S", 0.02)
    monkeypatch.setattr(ray_data, "STALL_S", 0.1)
    tables = engine._in_time(forever())
    assert next(tables) == "a table"
    alive[0] = alive[0][1:]
    with pytest.raises(ValueError, match=r"engine=ray: one died.*run the same again"):
        next(tables)


def test_slow_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = object.__new__(ray_data.RayEngine)
    engine._kind = "CPU"
    monkeypatch.setattr(ray_data, "nodes", lambda kind: [Node("1", "one", 1)])
    monkeypatch.setattr(ray_data, "POLL_S", 0.02)
    monkeypatch.setattr(ray_data, "STALL_S", 0.05)

    def slow():
        time.sleep(0.3)
        yield "a table"

    assert list(engine._in_time(slow())) == ["a table"]


def test_settings_carry_ours_and_one_batch_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path))
    monkeypatch.setenv("QBIAS_WORKERS", "7")
    found = ray_cluster.settings()
    assert (found["QBIAS_CACHE"], found["QBIAS_WORKERS"]) == (str(tmp_path), "1")
