"""Where torch computes: the CPU, or a CUDA GPU where `QBIAS_DEVICE=cuda` asks for it.

A row runs on the device that was asked for or not at all, so a run's recorded device is true of both sides of a pair. What a version
stores is always made on the CPU: its bytes do not depend on the device. On a GPU, float32 products and convolutions are computed in
float32, not in TF32.
"""

import os

VARIABLE = "QBIAS_DEVICE"
DEVICES = ("cpu", "cuda")


def chosen_device() -> str:
    """`cpu` (the default) or `cuda`, as `QBIAS_DEVICE` says.

    Raises
    ------
    ValueError
        If it says something else.
    """
    named = os.environ.get(VARIABLE) or "cpu"
    if named not in DEVICES:
        raise ValueError(f"{VARIABLE}={named!r}: give one of {', '.join(DEVICES)}, or leave it unset for the CPU")
    return named


def device_fault() -> str:
    """Why the chosen device cannot be used here; empty if it can."""
    if chosen_device() == "cpu":
        return ""
    import torch

    if torch.cuda.is_available():
        return ""
    return f"{VARIABLE}=cuda needs an NVIDIA GPU, and torch finds none here: leave the variable unset, or use a machine with one"


def ready_device() -> str:
    """The chosen device, ready for use: on a GPU, TF32 is off for the whole process.

    Raises
    ------
    ValueError
        If it cannot be used here.
    """
    if fault := device_fault():
        raise ValueError(fault)
    device = chosen_device()
    if device == "cuda":
        import torch

        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        # The fastest convolution is otherwise chosen by a race, and two choices sum in two orders.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
    return device


def device_facts() -> dict[str, str]:
    """Name, chip and CUDA release of the chosen device; nothing for the CPU, which has facts of its own.

    Raises
    ------
    ValueError
        If it cannot be used here.
    """
    if ready_device() == "cpu":
        return {}
    import torch

    return {"device": "cuda", "device_name": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
