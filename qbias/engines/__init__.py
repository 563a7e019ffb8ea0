"""Where canonical batches are computed: in this process (`local`), or on a Ray cluster (`ray`).

An engine changes no result: batches are the same, and a cluster whose workers would give other numbers is refused before any work. The
rows land in the same shards of the embedding store, so runs on either engine go on from where the other stopped.
"""

from dataclasses import dataclass

from qbias.engines.engine import LOCAL, Engine, LocalEngine, Model, Source, source_of
from qbias.tables import pick

__all__ = ["ENGINES", "HERE", "LOCAL", "Engine", "EngineChoice", "LocalEngine", "Model", "Source", "engine_named", "source_of"]
ENGINES = ("local", "ray")
AUTO = "auto"


def engine_named(name: str, ray_address: str = AUTO) -> Engine:
    """The engine of this name; a Ray cluster is reached, and its workers compared with this process, before this returns.

    Parameters
    ----------
    ray_address : `auto` for the cluster that this machine belongs to, or the `host:port` of its head; only for `ray`.

    Raises
    ------
    ValueError
        If there is no such engine, Ray is not installed, the cluster cannot be reached, or its workers would give other numbers.
    """
    if pick({known: known for known in ENGINES}, name, what="engine") == "local":
        return LOCAL
    from qbias.engines.ray_data import ray_engine

    return ray_engine(ray_address)


@dataclass(frozen=True)
class EngineChoice:
    """An engine by name, as the verbs and the evaluator's configuration give it."""

    engine: str = "local"
    ray_address: str = AUTO

    def made(self) -> Engine:
        """The engine itself; see `engine_named`."""
        return engine_named(self.engine, self.ray_address)


HERE = EngineChoice()
