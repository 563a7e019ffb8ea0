"""How many rows fit in a batch, and how many are worth it: `batch_size=auto`, and the message for a batch that does not fit.

The batch size is part of the protocol: it changes what some quantizers give. `auto` therefore becomes a number before anything is
measured, and the number is what is logged and what both sides of a pair must share.
"""

import json
import logging
import time
from collections.abc import Callable

import numpy as np

from qbias.digests import json_digest
from qbias.encoder import Encoder
from qbias.environment import machine_facts
from qbias.passes import Tower
from qbias.quantizers.device import chosen_device
from qbias.store import cache_root, whole_file

LOG = logging.getLogger(__name__)
SIZES = {"cpu": (8, 16, 32, 64, 128), "cuda": (32, 64, 128, 256, 512, 1024)}
"""Batch sizes that `auto` tries."""
ENOUGH = 0.97
"""`auto` takes the smallest batch with this share of the best speed: more memory for less than that is not worth it."""
ROUNDS = 3
MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "bad allocation", "bad_alloc", "Failed to allocate memory")
"""What libraries say when memory is short; torch on a CPU and ONNX Runtime have no type of their own for it."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY))


def too_large(encoder: Encoder, tower: Tower, size: int, reason: str) -> ValueError:
    """The error for a batch of `size` rows that did not fit, with the largest one that does (found by halves)."""
    _free_memory()
    fits = largest(lambda rows: _encode(encoder, tower, rows), size)
    device, said = chosen_device(), reason.splitlines()[0] if reason else "memory ran out"
    if fits == size:
        remedy = f"alone such a batch fits: set QBIAS_WORKERS=1, or batch_size={max(1, size // 2)} on both sides of a pair"
    elif fits:
        remedy = f"the largest that did is {fits}: set batch_size={fits}, on both sides of a pair"
    else:
        remedy = "not even one row did: free memory, or take a machine with more"
    return ValueError(f"batch_size={size} ({tower}) does not fit in the memory of this machine's {device} ({said}); {remedy}")


def largest(encode: Callable[[int], object], size: int) -> int:
    """The largest of size, size / 2, size / 4, ... rows that `encode` has memory for; 0 if there is none."""
    while size:
        if _fits(encode, size):
            return size
        size //= 2
    return 0


def _fits(encode: Callable[[int], object], size: int) -> bool:
    try:
        encode(size)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return False
    return True


def chosen_batch_size(encoder: Encoder, artifact: str) -> int:
    """What `batch_size=auto` is for this model on this machine: probed once, kept in the cache, and logged.

    The smallest of SIZES with 97 % of the best one's images per second (best of three batches). Sizes that do not fit are left out.

    Parameters
    ----------
    artifact : content digest of the model.

    Raises
    ------
    ValueError
        If not even the smallest fits.
    """
    file = cache_root() / "batch_size" / f"{json_digest([artifact, machine_facts(), SIZES, ENOUGH])}.json"
    try:
        size = int(json.loads(file.read_text())["batch_size"])
        LOG.info("batch_size=auto: %d, as probed before", size)
        return size
    except (OSError, ValueError, KeyError, TypeError):
        pass
    speeds = _speeds(encoder)
    size = min(size for size, speed in speeds.items() if speed >= ENOUGH * max(speeds.values()))
    LOG.info("batch_size=auto: %d (%s)", size, ", ".join(f"{tried}: {speed:,.1f} images/s" for tried, speed in speeds.items()))
    try:
        with whole_file(file) as beside:
            beside.write_text(json.dumps({"batch_size": size}))
    except OSError as error:
        LOG.warning(
            "batch_size=auto chose %d and cannot keep it (%s): give batch_size=%d next time, for the same results", size, error, size
        )
    return size


def _speeds(encoder: Encoder) -> dict[int, float]:
    found: dict[int, float] = {}
    sizes = SIZES[chosen_device()]
    for size in sizes:
        if not _fits(lambda rows: _encode(encoder, "images", rows), size):
            break
        found[size] = size / min(_seconds(encoder, size) for _ in range(ROUNDS))
    if not found:
        raise ValueError(f"batch_size=auto: not even {sizes[0]} images fit in memory: give batch_size a smaller number")
    return found


def _seconds(encoder: Encoder, size: int) -> float:
    started = time.perf_counter()
    _encode(encoder, "images", size)
    return time.perf_counter() - started


def _encode(encoder: Encoder, tower: Tower, size: int) -> None:
    """One batch of drawn images, or of one text."""
    if tower == "texts":
        encoder.texts(["a photo of a robot"] * size)
    else:
        side = encoder.preprocessing.resolution
        encoder.images(np.random.default_rng(0).integers(0, 256, (size, side, side, 3), dtype=np.uint8))


def _free_memory() -> None:
    if chosen_device() == "cuda":
        import torch

        torch.cuda.empty_cache()
