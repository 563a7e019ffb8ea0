"""One claim that a simulation puts to the proof: how often something happened, how exactly that is known, and what it should be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from qbias.pairwise import generator
from qbias.records import Insufficient

SEED = 20240611
Random = np.random.Generator
Result = TypeVar("Result")


@dataclass(frozen=True)
class Claim:
    """A rate over replications beside its bounds.

    Attributes
    ----------
    what, setting : what was counted, and on which data.
    estimate, error : mean over replications and its Monte Carlo standard error. replications : independent data sets.
    most, least : the bounds, each read as "+ 2 Monte Carlo standard errors"; without either the row is information.
    reason : why a claim that is known to miss does so, and what is done about it; the others have none.
    at : coordinates for the figures.
    """

    what: str
    setting: str
    estimate: float
    error: float
    replications: int
    most: float | None = None
    least: float | None = None
    reason: str = ""
    at: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`reached` or `missed`; `information` where there is no bound."""
        if self.most is None and self.least is None:
            return "information"
        slack = 2 * self.error + 1e-12
        below = self.most is None or self.estimate <= self.most + slack
        above = self.least is None or self.estimate >= self.least - slack
        return "reached" if below and above else "missed"

    @property
    def unexplained(self) -> bool:
        """Whether it misses and nothing says why."""
        return self.verdict == "missed" and not self.reason

    @property
    def bound(self) -> str:
        """The bound in words; empty where there is none."""
        if self.most is not None and self.least is not None:
            return percent(self.most) if self.most == self.least else f"{100 * self.least:g} to {percent(self.most)}"
        if self.most is not None:
            return f"at most {percent(self.most)}"
        return f"at least {percent(self.least)}" if self.least is not None else ""


def claim(
    what: str,
    setting: str,
    happened: ArrayLike,
    *,
    most: float | None = None,
    least: float | None = None,
    reason: str = "",
    at: Mapping[str, float] | None = None,
) -> Claim:
    """A claim from what each replication gave.

    Parameters
    ----------
    happened : (R,) booleans, or the share of a replication's statistics for which it happened: these depend on each other, so the
        Monte Carlo error is taken between replications.

    Returns
    -------
    Claim. Where all replications agree the error is that of one that does not, so that it is never 0.
    """
    share_R = np.asarray(happened, dtype=np.float64)
    count = len(share_R)
    spread = float(share_R.std()) or float(np.sqrt(1 / count * (1 - 1 / count)))
    return Claim(what, setting, float(share_R.mean()), spread / count**0.5, count, most, least, reason, at or {})


@dataclass(frozen=True)
class Simulation:
    """A row of the table of simulations: unique name (it seeds), section of the report, code, replications at size 1."""

    name: str
    section: str
    run: Callable[[Random, int], Sequence[Claim]]
    replications: int

    def claims(self, size: float = 1.0) -> list[Claim]:
        """Run it with its own generator: the same claims whatever ran before, and in whatever process."""
        return list(self.run(generator(SEED, self.name), max(20, round(size * self.replications))))


def made(found: Result | Insufficient) -> Result:
    """The result of a test that simulated data always allow."""
    if isinstance(found, Insufficient):
        raise RuntimeError(f"simulated data gave no result: {found}")
    return found


def percent(share: float) -> str:
    """A share as text, without needless zeros."""
    return f"{100 * share:.4g} %"


def lines(claims: Sequence[Claim]) -> str:
    """Aligned text for the terminal."""
    rows = [
        (
            row.verdict, f"{100 * row.estimate:.1f} %", f"MC SE {100 * row.error:.2f}", row.bound, f"{row.replications:,}",
            f"{row.what}: {row.setting}",
        )
        for row in claims
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
