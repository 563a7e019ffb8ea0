"""The benchmarks: a row each, in the order in which they are measured. Reading them decodes no image and imports no torch.

To add one: a file with a loader, and a row here. A row's `layout` is what a user sees when the folder is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qbias.benchmarks.coco import load_coco
from qbias.benchmarks.content import finished
from qbias.benchmarks.facet import load_facet
from qbias.benchmarks.fairface import load_fairface
from qbias.benchmarks.imagenet import load_imagenet
from qbias.protocol import Protocol
from qbias.records import Dataset, Kind


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: where it lies below the data root, how it is read, and under which terms it may be used.

    Attributes
    ----------
    folder : its subfolder of the data root.
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
    if not root.is_dir():
        expected = f"benchmark {benchmark.name!r} expects below {data}: {benchmark.layout}"
        raise ValueError(f"{root}: no such folder; {expected} (see {benchmark.home})")
    return finished(benchmark.load(root, protocol), limit=protocol.limit)


__all__ = ["BENCHMARKS", "Benchmark", "load"]
