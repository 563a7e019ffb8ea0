"""What the numbers were made with: CPU capability, quantized engine, threads and library versions.

Integer kernels and float summation order differ between CPU instruction levels (protocol), so these facts are logged with every
run, are part of cache keys, and are compared when two runs are paired.
"""

import os
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from qbias.quantizers import QUANTIZERS, Quantizer
from qbias.quantizers.device import chosen_device, device_facts
from qbias.tables import pick_many, split_names

LIBRARIES = (
    "torch", "torchvision", "torchao", "transformers", "tokenizers", "bitsandbytes", "onnxruntime", "onnx", "optimum-onnx", "numpy",
    "pillow",
)  # fmt: skip


@cache
def library_version(name: str) -> str:
    """The installed version, without a local part such as `+cpu`; `absent` where it is not installed."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "absent"


def machine_facts() -> dict[str, str]:
    """CPU capability, quantized engine, threads and versions of the libraries that can change a number; a GPU where one is chosen.

    Raises
    ------
    ValueError
        If `QBIAS_DEVICE` names a device that cannot be used here.
    """
    import torch

    facts = {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        # bitsandbytes multiplies NF4 in bfloat16 where the CPU can, which the capability's name does not say.
        "cpu_bfloat16": str(torch.cpu._is_avx512_bf16_supported()),
        "quantized_engine": torch.backends.quantized.engine,
        "threads": str(torch.get_num_threads()),
    }
    return facts | {name: library_version(name) for name in LIBRARIES} | device_facts()


STUDY = ("fp32", "bnb-int8", "bnb-nf4", "torch-int8", "ort-int8")
"""The baseline, the paper's three methods and ONNX Runtime's: what a study compares unless it is told otherwise."""


def quantizer_rows(names: str) -> list[Quantizer]:
    """The quantizers of a comma-separated list of names, in the table's order; `study` means STUDY, `all` the whole table.

    Raises
    ------
    ValueError
        If the list is empty or a name is unknown.
    """
    return pick_many(QUANTIZERS, STUDY if split_names(names) == ["study"] else names, what="quantizer")


def quantizers_named(names: str) -> list[Quantizer]:
    """As `quantizer_rows`, for use on this machine: `all` means every one that can run here.

    Raises
    ------
    ValueError
        If a quantizer that is named cannot run here (all of these with what they need).
    """
    rows = quantizer_rows(names)
    reasons = {row.name: row.unavailable() for row in rows}
    if split_names(names) == ["all"]:
        return [row for row in rows if not reasons[row.name]]
    if said := list(dict.fromkeys(filter(None, reasons.values()))):
        raise ValueError("; ".join(said))
    return rows


def stale_metadata(project: Path) -> str | None:
    """How the installed qbias differs from the checkout at `project`, in one sentence; None when they agree.

    MLflow reuses an environment as long as conda.yaml stays the same, so an environment can be older than the checkout.
    """
    import tomllib

    file = project / "pyproject.toml"
    if not file.is_file():
        return None
    declared = tomllib.loads(file.read_text())["project"]
    try:
        installed, needed = version("qbias"), requires("qbias") or []
    except PackageNotFoundError:
        return "qbias is not installed in this environment, so MLflow cannot find its evaluator: run 'pip install .' in the project"
    if installed != declared["version"]:
        return f"qbias {installed} is installed, the checkout is {declared['version']}: run 'pip install .' in the project"
    missing = set(map(_squeeze, declared["dependencies"])) ^ {_squeeze(row) for row in needed if "extra ==" not in row}
    if missing:
        return f"the installed qbias has other dependencies than the checkout ({', '.join(sorted(missing))}): run 'pip install .'"
    return None


def _squeeze(requirement: str) -> str:
    """A requirement in one spelling: `Foo_Bar == 1.*` and `foo-bar==1.*` are the same."""
    return re.sub(r"[_.](?=[a-z])", "-", re.sub(r"\s+", "", requirement).lower())


def one_thread_per_batch() -> None:
    """Let torch compute each batch with one thread; `qbias.embed` then computes several batches side by side.

    The order of float summation, and so the last bits of a result, depends on how many threads share one operation. With one thread it
    is the same on every number of cores.
    """
    import torch

    torch.set_num_threads(1)


def batch_workers() -> int:
    """How many batches to compute at a time: `QBIAS_WORKERS`, else every core, and one on a GPU or where torch uses several threads.

    Raises
    ------
    ValueError
        If `QBIAS_WORKERS` is not a whole number of at least 1.
    """
    import torch

    if named := os.environ.get("QBIAS_WORKERS"):
        if not named.isdecimal() or int(named) < 1:
            raise ValueError(f"QBIAS_WORKERS={named!r}: give a whole number of at least 1, the batches to compute at a time")
        return int(named)
    return 1 if torch.get_num_threads() > 1 or chosen_device() == "cuda" else os.cpu_count() or 1
