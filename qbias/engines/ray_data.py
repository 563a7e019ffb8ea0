"""`engine=ray`: canonical batches go through a Ray Data pipeline, pixels in and rows out, and this process stores the rows.

    batch numbers -> PixelReader (beside the pixel store) -> BatchEncoder actors (a core or GPU each) -> rows, in order

Ray starts an actor again when its process or node dies, and gives it the same batch again: which worker computes a batch changes nothing.
Shapes: D embedding width.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbias.encoder import Rows
from qbias.engines.engine import LOCAL, Model, Run
from qbias.engines.ray_cluster import compared_nodes, connect, facts, nodes, settings
from qbias.passes import PASSES, Tower
from qbias.quantizers.device import chosen_device
from qbias.records import Dataset

LOG = logging.getLogger(__name__)
FEW = 8
"""So few batches are computed in this process: starting actors, each of which loads the model, would take longer."""
WINDOW = 2048
"""Batches that are claimed and sent at a time, at most: each claimed shard is an open file."""
GROUP = {"cpu": 1, "cuda": 8}
"""Batches in a message. A GPU works on the next batch while the last one is on its way back; a core has nothing to gain."""
CPU_SHARE = 0.5
"""What an actor on a core asks Ray for, though there are only as many actors as cores: when a node dies, its actors find room elsewhere."""
POLL_S = 15.0
STALL_S = 300.0
"""A node died, and since then no result came for so long: its actors find no room."""


@lru_cache(maxsize=1)
def ray_engine(address: str) -> "RayEngine":
    """The engine on the cluster at `address`, reached and compared once per process.

    Raises
    ------
    ValueError
        If Ray is not installed, the cluster cannot be reached, or its workers would give other numbers.
    """
    connect(address)
    return RayEngine("GPU" if chosen_device() == "cuda" else "CPU")


class RayEngine:
    """Batches on the cluster that this process has joined.

    Attributes
    ----------
    actors : how many work at a time. done : messages computed by each node so far, by its id.
    """

    name = "ray"

    def __init__(self, kind: str, *, few: int = FEW) -> None:
        """Compare the nodes that have a `kind` (CPU or GPU) to work on.

        Parameters
        ----------
        few : so many batches or fewer are computed in this process.

        Raises
        ------
        ValueError
            If a node would give other numbers.
        """
        self._kind, self._few = kind, few
        self._facts = facts()
        there = compared_nodes(kind, self._facts)
        self.done: Counter[str] = Counter()
        self.actors = sum(node.places for node in there)
        LOG.info("engine=ray: %d nodes, %d actors, all with the versions and the processor of this process", len(there), self.actors)

    def image_run(self, model: Model, dataset: Dataset, order_N: NDArray[np.intp]) -> Run:
        """Of the dataset's images in this order."""

        def spread(pieces: Sequence[slice]) -> Generator[Rows]:
            import ray

            job = ray.put((dataset, model.encoder.preprocessing.resolution, order_N))
            here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}

            def read(rows: Any) -> Any:
                from ray.data import ActorPoolStrategy

                from qbias.engines.ray_workers import PixelReader

                one = ActorPoolStrategy(size=1)
                arguments = (settings(), job)
                return rows.map_batches(
                    PixelReader, batch_format="pyarrow", fn_constructor_args=arguments, compute=one, num_cpus=0, label_selector=here
                )

            return self._spread("images", model, pieces, lambda group: {}, read)

        return self._run(LOCAL.image_run(model, dataset, order_N), spread)

    def text_run(self, model: Model, texts: Sequence[str]) -> Run:
        """Of a list of texts."""

        def spread(pieces: Sequence[slice]) -> Generator[Rows]:
            def column(group: Sequence[slice]) -> dict[str, Any]:
                return {"texts": list(texts[group[0].start : group[-1].stop])}

            return self._spread("texts", model, pieces, column, lambda rows: rows)

        return self._run(LOCAL.text_run(model, texts), spread)

    def _run(self, local: Run, spread: Callable[[Sequence[slice]], Generator[Rows]]) -> Run:
        def run(pieces: Iterator[slice]) -> Generator[Rows]:
            while window := list(islice(pieces, WINDOW)):
                yield from local(iter(window)) if len(window) <= self._few else spread(window)

        return run

    def _spread(
        self,
        tower: Tower,
        model: Model,
        pieces: Sequence[slice],
        column: Callable[[Sequence[slice]], Mapping[str, Any]],
        read: Callable[[Any], Any],
    ) -> Generator[Rows]:
        """The rows of every piece, in order."""
        groups = list(_groups(pieces, GROUP[chosen_device()]))
        rows = [
            {"number": number, "bounds": [[piece.start, piece.stop] for piece in group], **column(group)}
            for number, group in enumerate(groups)
        ]
        for group, found in zip(groups, self._computed(model, rows, read), strict=True):
            row_ND = np.frombuffer(found, np.float32).reshape(-1, model.encoder.width)
            first = group[0].start
            for piece in group:
                PASSES.add(tower, piece.stop - piece.start)
                yield row_ND[piece.start - first : piece.stop - first]

    def _computed(self, model: Model, rows: list[dict[str, Any]], read: Callable[[Any], Any]) -> Iterator[bytes]:
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        from qbias.engines.ray_workers import BatchEncoder, packed

        if model.source is None:
            raise ValueError(f"engine=ray: {model.title} cannot be made again on other machines: evaluate it with engine=local")
        arguments = (settings(), self._facts, ray.put(packed(model.source.folder)), model.source.bfloat16)
        share: dict[str, float] = {"num_gpus": 1} if self._kind == "GPU" else {"num_cpus": CPU_SHARE}
        actors = ActorPoolStrategy(size=min(self.actors, len(rows)))
        context = DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        with DataContext.current(context):
            source = ray.data.from_items(rows, override_num_blocks=len(rows))
            encoded = read(source).map_batches(BatchEncoder, batch_format="pyarrow", fn_constructor_args=arguments, compute=actors, **share)
            tables = encoded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
            for number, table in enumerate(self._in_time(iter(tables))):
                assert table["number"].to_pylist() == [number], "one row a block, in order"
                self.done[table["node"][0].as_py()] += 1
                yield table["rows"][0].as_py()

    def _in_time(self, tables: Iterator[Any]) -> Iterator[Any]:
        """What Ray Data hands over, unless it waits for a dead node's actors for ever.

        Raises
        ------
        ValueError
            What a worker raised, in its own words; or that nodes died and no room is left for their actors.
        """
        before = {node.id: node for node in nodes(self._kind)}
        with ThreadPoolExecutor(1) as thread:
            while True:
                waiting, waited = thread.submit(next, tables, None), 0.0
                while not (done := _finished(waiting, POLL_S)):
                    waited += POLL_S
                    lost = before.keys() - {node.id for node in nodes(self._kind)}
                    if lost and waited >= STALL_S:
                        _leave()
                        names = ", ".join(before[node].name for node in lost)
                        raise ValueError(
                            f"engine=ray: {names} died and its work finds no room: what had finished is kept, run the same again"
                        )
                if (table := done[0]) is None:
                    return
                yield table


def _groups(pieces: Sequence[slice], size: int) -> Iterator[list[slice]]:
    """Runs of up to `size` pieces that follow each other without a gap."""
    group: list[slice] = []
    for piece in pieces:
        if group and (len(group) == size or group[-1].stop != piece.start):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _finished(waiting: Any, seconds: float) -> tuple[Any] | None:
    """A future's result, or None where it takes longer; a worker's ValueError is raised as if it had happened here."""
    try:
        return (waiting.result(timeout=seconds),)
    except TimeoutError:
        return None
    except KeyboardInterrupt:
        # The thread that waits would hold this process until its batch is there.
        _leave()
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ValueError) and type(cause) is not type(error):
                raise ValueError(str(cause)) from error
            cause = cause.__cause__ or getattr(cause, "cause", None)
        # Of an actor that could not start, Ray keeps only the text.
        if len(parts := f"\n{error}".rsplit("\nValueError: ", 1)) == 2:
            raise ValueError(parts[1].strip()) from error
        raise


def _leave() -> None:
    """Leave the cluster: Ray ends all that this process started there."""
    import ray

    ray.shutdown()
