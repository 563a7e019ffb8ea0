"""The plan of an evaluation: which benchmarks, on which data, under which protocol; all of it but the model.

Datasets are read and checked once per process. No torch, no mlflow.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from qbias.benchmarks import Benchmark, benchmark_row, load
from qbias.pixels import OnBadImage, Unreadable, usable
from qbias.protocol import Protocol
from qbias.records import Dataset


@dataclass(frozen=True)
class Plan:
    """What is measured, and on what.

    Attributes
    ----------
    benchmarks : rows of BENCHMARKS by name, and paths of YAML files with benchmarks of one's own.
    data : the folder that holds the rows' folders; YAML files know where their data is.
    protocol : the measurement's parameters.
    on_bad_image : `fail` lists the images that cannot be decoded and stops; `skip` measures without them. What is skipped depends on the
        files alone, so both sides of a pair use the same images; it is part of the dataset's digest.
    """

    benchmarks: tuple[str, ...]
    data: Path
    protocol: Protocol
    on_bad_image: OnBadImage = "fail"

    def rows(self) -> tuple[Benchmark, ...]:
        """The benchmarks' rows."""
        return tuple(map(benchmark_row, self.benchmarks))

    def datasets(self) -> tuple[Dataset, ...]:
        """Every benchmark's images and texts, read and checked before any model runs.

        Raises
        ------
        ValueError
            On bad data, or two benchmarks of one name.
        """
        names = [row.name for row in self.rows()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several benchmarks are named {', '.join(twice)}: rename one in its YAML file")
        return tuple(self.dataset(benchmark) for benchmark in self.benchmarks)

    def dataset(self, benchmark: str) -> Dataset:
        """One benchmark's dataset, less what is skipped."""
        return _read(benchmark, self.data, replace(self.protocol, batch_size=1), self.on_bad_image)[0]

    def skipped(self, benchmark: str) -> tuple[Unreadable, ...]:
        """The images that were left out because they cannot be decoded; none where `on_bad_image` is `fail`."""
        return _read(benchmark, self.data, replace(self.protocol, batch_size=1), self.on_bad_image)[1]

    def only(self, benchmark: str) -> "Plan":
        """The same plan for one of its benchmarks."""
        return replace(self, benchmarks=(benchmark,))


# Batches are no matter of the data: with the batch size at 1, plans that differ in nothing else read it once.
@lru_cache(maxsize=64)
def _read(benchmark: str, data: Path, protocol: Protocol, on_bad_image: OnBadImage) -> tuple[Dataset, tuple[Unreadable, ...]]:
    whole = load(benchmark_row(benchmark), data, protocol)
    if on_bad_image == "fail":
        # The images are decoded later, once, by whoever needs their pixels.
        return whole, ()
    return usable(whole, on_bad_image=on_bad_image)
