"""The benchmarks: a row each, in the order in which they are measured. Reading them decodes no image and imports no torch.

To add one: a file with a loader, and a row here; or, without code, a YAML file (custom.py), whose path stands for its name everywhere.
A row's `layout` is what a user sees when the folder is missing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qbias.benchmarks.coco import load_coco
from qbias.benchmarks.content import finished
from qbias.benchmarks.facet import load_facet
from qbias.benchmarks.fairface import load_fairface
from qbias.benchmarks.imagenet import load_imagenet
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind
from qbias.tables import pick, split_names

DEFINITIONS = (".yaml", ".yml")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: where it lies below the data root, how it is read, and under which terms it may be used.

    Attributes
    ----------
    folder : its subfolder of the data root; the absolute path of the file for one that a YAML file defines.
    layout : what that folder is expected to hold.
    load : (folder, protocol) -> Dataset without limit and digests; `load` below adds them.
    """

    name: str
    kind: Kind
    folder: str
    layout: str
    load: Callable[[Path, Protocol], Dataset]
    home: str
    licence: str

    @property
    def own(self) -> bool:
        """Whether a YAML file defines it; it then needs no data root."""
        return Path(self.folder).is_absolute()


BENCHMARKS: dict[str, Benchmark] = {
    row.name: row
    for row in (
        Benchmark(
            name="imagenet",
            kind="classification",
            folder="imagenet",
            layout="imagenet/val/<wnid>/*.JPEG",
            load=load_imagenet,
            home="https://www.image-net.org",
            licence="non-commercial research, on registration",
        ),
        Benchmark(
            name="coco",
            kind="retrieval",
            folder="coco",
            layout="coco/dataset_coco.json with coco/val2014/*.jpg, or coco/captions_val2017.json with coco/val2017/*.jpg",
            load=load_coco,
            home="https://cocodataset.org",
            licence="annotations CC BY 4.0; images under the terms of their Flickr pages",
        ),
        Benchmark(
            name="facet",
            kind="classification",
            folder="facet",
            layout="facet/annotations/annotations.csv with images in facet/imgs_1, facet/imgs_2, facet/imgs_3",
            load=load_facet,
            home="https://facet.metademolab.com",
            licence="evaluation only, by agreement with Meta",
        ),
        Benchmark(
            name="fairface",
            kind="skew",
            folder="fairface",
            layout="fairface/fairface_label_val.csv with images in fairface/val/<n>.jpg",
            load=load_fairface,
            home="https://github.com/joojs/fairface",
            licence="CC BY 4.0",
        ),
    )
}


@lru_cache(maxsize=64)
def benchmark_row(benchmark: str) -> Benchmark:
    """The row of that name, or the benchmark that the YAML file at that path defines.

    Raises
    ------
    ValueError
        If the name is unknown, or the file is not as it should be (with line numbers).
    """
    if not benchmark.lower().endswith(DEFINITIONS):
        return pick(BENCHMARKS, benchmark, what="benchmark (or the path of a .yaml file)")
    from qbias.benchmarks.custom import load_custom
    from qbias.benchmarks.definition import read_definition

    file = Path(benchmark).expanduser().resolve()
    found = read_definition(file)
    return Benchmark(
        name=found.name,
        kind=found.kind,
        folder=str(file),
        layout="",
        load=lambda path, protocol: load_custom(path),
        home=found.home,
        licence=found.licence,
    )


def benchmark_list(benchmarks: str | Iterable[str]) -> tuple[str, ...]:
    """Names and paths of a comma-separated list, each once: the table's rows in its order, then YAML files as absolute paths.

    `all` stands for every row of BENCHMARKS, and may stand beside YAML files.

    Raises
    ------
    ValueError
        If the list is empty, a name is unknown or a file cannot be used.
    """
    wanted = split_names(benchmarks)
    if not wanted:
        raise ValueError(f"no benchmark named: give one or several of {', '.join(BENCHMARKS)}, 'all', or paths of .yaml files")
    rows = [row for name in wanted for row in (BENCHMARKS.values() if name == "all" else [benchmark_row(name)])]
    chosen = {row.name for row in rows if BENCHMARKS.get(row.name) is row}
    return (*(name for name in BENCHMARKS if name in chosen), *dict.fromkeys(row.folder for row in rows if row.own))


def load(benchmark: Benchmark, data: Path, protocol: Protocol) -> Dataset:
    """Read and check a benchmark below the data root; cut it to the protocol's limit; compute its digests.

    Parameters
    ----------
    benchmark : a row of BENCHMARKS.
    data : the folder that holds the benchmarks' folders.
    protocol : the measurement's parameters.

    Raises
    ------
    ValueError
        If the folder is missing (with the layout expected) or its content is bad (with every offender, up to 20).
    """
    root = data / benchmark.folder
    if not root.exists():
        expected = f"benchmark {benchmark.name!r} expects below {data}: {benchmark.layout}"
        raise ValueError(f"{root}: no such folder; {expected} (see {benchmark.home})")
    return finished(benchmark.load(root, protocol), limit=protocol.limit)


__all__ = ["BENCHMARKS", "Benchmark", "benchmark_list", "benchmark_row", "load"]
