"""Tests over models: how often they reject when nothing changed (or when the change is exactly the margin).

Shapes: R replications, M models, C cells.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benches.calibration.claims import Claim, Random, Simulation, claim, made
from qbias.significance import PairedTest, corrected, paired_t
from qbias.significance.companions import companions
from qbias.significance.composite import LargestChange, largest_change
from qbias.significance.dependence import rejection_rate
from qbias.significance.equivalence import equivalence

Floats = NDArray[np.float64]
ALPHA = 0.05
MODELS = tuple("abcdefgh")
BEFORE = dict.fromkeys(MODELS, 0.0)
CELLS = 66
CORRELATIONS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
SHAPES: dict[str, Callable[[Random, tuple[int, int]], Floats]] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "heavy tails (t, 3 df)": lambda random, shape: random.standard_t(3, size=shape),
    "skewed (exponential)": lambda random, shape: random.exponential(size=shape) - 1,
}
"""Distributions of a model's change with mean 0."""


def related(random: Random, shape: tuple[int, int], correlation: float) -> Floats:
    """Standard normal numbers whose columns have this correlation."""
    return np.asarray(correlation**0.5 * random.normal(size=(shape[0], 1)) + (1 - correlation) ** 0.5 * random.normal(size=shape))


def t_test(difference_M: Floats) -> PairedTest:
    """The paper's test of one row of differences over eight models."""
    return made(paired_t(BEFORE, dict(zip(MODELS, difference_M.tolist(), strict=True)), name="simulated"))


def shaped(random: Random, replications: int, *, shape: str) -> list[Claim]:
    """The t-test, the sign-flip test and Wilcoxon's under independence."""
    draws = SHAPES[shape](random, (replications, len(MODELS)))
    p_R3 = np.array([_p_values(row) for row in draws])
    symmetric = shape != "skewed (exponential)"
    where = f"8 independent models, {shape} changes"
    exact = ALPHA if shape == "normal" else None
    return [
        claim("paired t-test rejects, nothing changed", where, p_R3[:, 0] <= ALPHA, most=exact, least=exact),
        claim("sign-flip test rejects, nothing changed", where, p_R3[:, 1] <= ALPHA, most=ALPHA if symmetric else None),
        claim("Wilcoxon's test rejects, nothing changed", where, p_R3[:, 2] <= ALPHA, most=ALPHA if symmetric else None),
    ]


def _p_values(difference_M: Floats) -> tuple[float, float, float]:
    beside = made(companions(dict(zip(MODELS, difference_M.tolist(), strict=True)), name="simulated", seed=0))
    return t_test(difference_M).p, beside.sign_flip_p, beside.wilcoxon_p


def inflation(random: Random, replications: int, *, correlation: float) -> list[Claim]:
    """The t-test when two models' changes are correlated: the closed form is the expected rate."""
    draws = related(random, (replications, len(MODELS)), correlation)
    rejected_R = [t_test(row).p <= ALPHA for row in draws]
    rate = rejection_rate(correlation, n=len(MODELS))
    where = f"8 models, correlation {correlation:g}; closed form {100 * rate:.1f} %"
    return [claim("paired t-test rejects, nothing changed", where, rejected_R, most=rate, least=rate, at={"correlation": correlation})]


def family(random: Random, replications: int, *, correlation: float, models: float = 0.0) -> list[Claim]:
    """Holm's family-wise error over the paper's 66 cells; `correlation` between cells, `models` between models."""
    wrong_R = []
    for _ in range(replications):
        shared_M1 = models**0.5 * related(random, (1, CELLS), correlation) + np.zeros((len(MODELS), 1))
        row_MC = shared_M1 + (1 - models) ** 0.5 * related(random, (len(MODELS), CELLS), correlation)
        p_values = {str(cell): t_test(column).p for cell, column in enumerate(row_MC.T)}
        wrong_R.append(any(row.holm <= ALPHA for row in corrected(p_values, family="simulated").values()))
    where = f"66 cells, correlation {correlation:g} between cells, 8 models" + (f" correlated {models:g}" if models else "")
    return [claim("Holm rejects anything, nothing changed", where, wrong_R, most=None if models else ALPHA)]


def at_margin(random: Random, replications: int, *, spread: float) -> list[Claim]:
    """TOST where the true mean change is the margin itself."""
    draws = 1 + spread * random.normal(size=(replications, len(MODELS)))
    passed_R = [equivalence(t_test(row), margin=1.0, harm="none", alpha=ALPHA).equivalent for row in draws]
    where = f"8 models, true change = margin, spread {spread:g} of the margin"
    return [claim("equivalence declared although the change is the margin", where, passed_R, most=ALPHA)]


def largest(random: Random, replications: int, *, groups: int, correlation: float) -> list[Claim]:
    """The composite endpoint: any change of m groups, and equivalence of all where one group changed by the margin."""
    wrong_R2 = []
    for _ in range(replications):
        row_MG = related(random, (len(MODELS), groups), correlation)
        shifted_MG = 0.2 * row_MG
        shifted_MG[:, 0] += 1
        null, shifted = _largest(row_MG, None), _largest(shifted_MG, 1.0)
        wrong_R2.append((null.p <= ALPHA, shifted.equivalence is not None and shifted.equivalence.equivalent))
    where = f"{groups} groups, correlation {correlation:g}, 8 models"
    wrong = np.array(wrong_R2)
    return [
        claim("largest change of groups found, nothing changed", where, wrong[:, 0], most=ALPHA),
        claim("all groups called equivalent, one changed by the margin", where, wrong[:, 1], most=ALPHA),
    ]


def _largest(row_MG: Floats, margin: float | None) -> LargestChange:
    return made(largest_change({str(group): t_test(column) for group, column in enumerate(row_MG.T)}, name="simulated", margin=margin))


def simulations() -> Sequence[Simulation]:
    """All of this file."""
    section = "Tests over models"
    return (
        *(Simulation(f"shape {shape}", section, partial(shaped, shape=shape), 4000) for shape in SHAPES),
        *(Simulation(f"inflation {rho}", section, partial(inflation, correlation=rho), 20_000) for rho in CORRELATIONS),
        *(Simulation(f"family {rho}", section, partial(family, correlation=rho), 2000) for rho in (0.0, 0.5, 0.9)),
        Simulation("family of related models", section, partial(family, correlation=0.5, models=0.3), 1000),
        *(Simulation(f"margin {spread}", section, partial(at_margin, spread=spread), 4000) for spread in (0.1, 0.5, 1.0)),
        *(
            Simulation(f"largest {groups}", section, partial(largest, groups=groups, correlation=rho), 2000)
            for groups, rho in ((2, 0.5), (7, 0.0), (9, 0.8))
        ),
    )
