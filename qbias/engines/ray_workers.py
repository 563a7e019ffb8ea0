"""What runs on the cluster's nodes: a reader of pixels on this machine's own node, and actors that hold an Encoder.

A table of one row goes from stage to stage, so that nothing can cut a canonical batch in two. Shapes: N images, R resolution.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from qbias.digests import folder_digests
from qbias.embed import image_run, text_run
from qbias.encoder import Encoder, Pixels
from qbias.engines.engine import Source
from qbias.engines.ray_cluster import difference, facts

Files = Mapping[str, "np.ndarray[Any, np.dtype[np.uint8]]"]
"""The files of a model's folder by their path in it."""


def packed(folder: Path) -> dict[str, "np.ndarray[Any, np.dtype[np.uint8]]"]:
    """A folder's files, to be sent."""
    return {name: np.fromfile(folder / name, np.uint8) for name in folder_digests(folder)}


def unpacked(files: Files, folder: Path) -> Path:
    """Write them again."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content.tofile(folder / name)
    return folder


class PixelReader:
    """Adds the pixels to a row's batches; it runs beside the pixel store, so workers need no disk in common."""

    def __init__(self, settings: Mapping[str, str], job: Any) -> None:
        """Open the store; `job` refers to (dataset, resolution, order of its images)."""
        import ray

        os.environ.update(settings)
        from qbias.pixel_store import StoredPixels

        dataset, resolution, self._order_N = ray.get(job)
        self._pixels = StoredPixels(dataset, resolution)

    def __call__(self, table: pa.Table) -> pa.Table:
        """One row: `number`, `bounds` -> and `pixels`, of all its batches one after the other."""
        bounds = table["bounds"][0].as_py()
        rows_n = self._order_N[bounds[0][0] : bounds[-1][1]]
        content = pa.array([self._pixels[rows_n].reshape(-1).view(np.uint8).data], pa.large_binary())
        return table.append_column("pixels", content)


class BatchEncoder:
    """An actor that holds an Encoder."""

    def __init__(self, settings: Mapping[str, str], expected: Mapping[str, str], files: Any, bfloat16: bool) -> None:
        """Make the Encoder of the files that `files` refers to.

        Raises
        ------
        ValueError
            If this worker computes otherwise than the process that sends the work (a node may have come after they were compared).
        """
        import ray

        os.environ.update(settings)
        self._node = ray.get_runtime_context().get_node_id()
        if said := difference(expected, facts()):
            raise ValueError(f"engine=ray: a worker that came later would not give the numbers of this process: {said}")
        with tempfile.TemporaryDirectory(prefix="qbias-") as folder:
            self._encoder: Encoder = Source(unpacked(ray.get(files), Path(folder)), bfloat16).encoder()

    def __call__(self, table: pa.Table) -> pa.Table:
        """One row: `number`, `bounds`, and `pixels` or `texts` -> `number`, `node` and `rows`, all batches' unit rows."""
        bounds = table["bounds"][0].as_py()
        first = bounds[0][0]
        pieces = [slice(start - first, stop - first) for start, stop in bounds]
        if "pixels" in table.column_names:
            pixel_NRR3 = self._received(table, pieces[-1].stop)
            found = image_run(self._encoder, pixel_NRR3, np.arange(pieces[-1].stop))(pieces)
        else:
            found = text_run(self._encoder, table["texts"][0].as_py())(pieces)
        content = np.ascontiguousarray(np.concatenate(list(found)))
        return pa.table({"number": table["number"], "node": [self._node], "rows": pa.array([content.tobytes()], pa.large_binary())})

    def _received(self, table: pa.Table, count: int) -> Pixels:
        side = self._encoder.preprocessing.resolution
        content = np.frombuffer(table["pixels"][0].as_buffer(), np.uint8)
        # The received memory is read-only, which torch warns of.
        return content.reshape(count, side, side, 3).copy()
