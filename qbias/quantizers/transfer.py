"""To a GPU and back while it computes: pinned memory, a stream for copies, and events that say when something has arrived.

On a CPU nothing is copied and nobody waits.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Loaded = tuple["torch.Tensor", Any]
"""A tensor that is on its way to the device, and the event of its arrival (None where it is there)."""
Started = tuple["torch.Tensor", Any]
"""Features that are being computed, and the event of their arrival (None where they are there)."""


def sent(tensor: "torch.Tensor", device: "torch.device") -> Loaded:
    """Begin to copy a tensor to the device, on a stream of its own, so that the copy runs beside the computation; any thread."""
    import torch

    if device.type != "cuda":
        return tensor.to(device), None
    with torch.cuda.stream(_copies(device)):
        there = tensor.pin_memory().to(device, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
    return there, done


def arrived(loaded: Loaded) -> "torch.Tensor":
    """What was sent, for use by whatever is queued from here on."""
    import torch

    tensor, done = loaded
    if done is not None:
        here = torch.cuda.current_stream(tensor.device)
        here.wait_event(done)
        # Its memory may be given to the next copy only when this stream is done with it.
        tensor.record_stream(here)
    return tensor


def on_its_way(feature_ND: "torch.Tensor") -> Started:
    """Features that go to the main memory, in float32, as soon as they are computed."""
    import torch

    if feature_ND.device.type != "cuda":
        return feature_ND, None
    there = torch.empty(feature_ND.shape, dtype=torch.float32, pin_memory=True)
    there.copy_(feature_ND, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()
    return there, done


def waited_for(started: Started) -> "torch.Tensor":
    """The features, when they have arrived."""
    features, done = started
    if done is not None:
        done.synchronize()
    return features


@lru_cache(maxsize=8)
def _copies(device: "torch.device") -> Any:
    """The stream on which this process copies to a GPU."""
    import torch

    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
