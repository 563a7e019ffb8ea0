"""The frozen records of the statistics: what each test found, with the numbers that it was made from. No arithmetic.

`model` is a registered model's name, `quantizer` a row of QUANTIZERS, `metric` a logged name (protocol.md 8). A difference is always
candidate - baseline; 0 means no change. Every interval says its confidence, every random method its draws and its seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qbias.records import Harm, Insufficient
from qbias.significance.multiplicity import Corrected
from qbias.significance.paired import PairedTest

Role = Literal["primary", "secondary"]
VerdictName = Literal["insufficient", "equivalent", "worse", "better", "changed", "inconclusive"]
Method = Literal["exact", "monte carlo"]


@dataclass(frozen=True)
class Endpoint:
    """A primary endpoint, declared before the data is seen: a metric, the margin within which a change does not matter, and why."""

    metric: str
    margin: float
    why: str


@dataclass(frozen=True)
class Margin:
    """The margin of every secondary metric that the pattern matches (`fnmatch`, first match counts), and why."""

    pattern: str
    margin: float
    why: str


@dataclass(frozen=True)
class AnalysisPlan:
    """What a comparison tests and how.

    alpha : error rate of each family. confidence : of every interval and band over images. seed, draws : of every random method.
    """

    endpoints: tuple[Endpoint, ...]
    margins: tuple[Margin, ...]
    alpha: float = 0.05
    power: float = 0.80
    confidence: float = 0.95
    seed: int = 20240611
    draws: int = 2000


@dataclass(frozen=True)
class Companions:
    """What stands beside the paper's t-test in the same row.

    Attributes
    ----------
    n, mean_difference : as in the t-test. d_z : mean / spread of the differences, Hedges-corrected; None where the spread is 0.
    sign_flip_p : two-sided, over all 2^n sign patterns (`exact`) or `draws` random ones (`monte carlo`, with `seed`).
    smallest_sign_flip_p : smallest that n models can reach. wilcoxon_p : signed ranks, exact.
    up, down, unchanged : models whose value rose, fell, stayed.
    """

    name: str
    n: int
    mean_difference: float
    d_z: float | None
    sign_flip_p: float
    smallest_sign_flip_p: float
    sign_flip_method: Method
    draws: int
    seed: int | None
    wilcoxon_p: float
    up: int
    down: int
    unchanged: int


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t-tests against a margin, and the one-sided test in the direction that hurts.

    Attributes
    ----------
    margin : largest change that does not matter, in the metric's unit.
    p : larger of both one-sided p-values. equivalent : p <= alpha: `low` and `high` (confidence 1 - 2 alpha) lie inside the margin.
    smallest_margin : the margin at which p would be alpha.
    non_inferior : whether the change in the harmful direction stays inside the margin; None where no direction hurts.
    """

    margin: float
    alpha: float
    p: float
    equivalent: bool
    low: float
    high: float
    smallest_margin: float
    non_inferior: bool | None


@dataclass(frozen=True)
class Power:
    """What this many models could have found, taking the observed spread for the true one.

    Attributes
    ----------
    smallest_detectable, smallest_detectable_corrected : mean difference found with probability `power` at alpha and at alpha / family size.
    models_needed : models for an equivalence test to pass with probability `power` if nothing changed; None without a margin.
    """

    power: float
    smallest_detectable: float
    smallest_detectable_corrected: float
    models_needed: int | None


@dataclass(frozen=True)
class Verdict:
    """The verdict on a cell. `shifted`: equivalent, and the interval excludes 0. `reason`: one sentence with the numbers behind it."""

    name: VerdictName
    shifted: bool
    reason: str


@dataclass(frozen=True)
class Heterogeneity:
    """Whether the models changed alike, given that they share their images.

    Attributes
    ----------
    change_M, covariance_MM : each model's change, and their covariance over images resampled jointly; rows as in `models`.
    mean_correlation : of two models' changes, averaged over pairs. q, df, p : Cochran's Q with the full covariance. i_squared : in [0, 1].
    pooled, low, high : generalised least-squares mean and its interval over images, for these very models.
    """

    models: tuple[str, ...]
    change_M: tuple[float, ...]
    covariance_MM: tuple[tuple[float, ...], ...]
    mean_correlation: float
    q: float
    df: int
    p: float
    i_squared: float
    pooled: float
    low: float
    high: float


@dataclass(frozen=True)
class LeftOut:
    """The cell without the models of one source or size. `label`: `source` or `size`; `value`: which one was left out."""

    label: Literal["source", "size"]
    value: str
    n: int
    mean_difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CellEvidence:
    """One cell (precision and metric) with all that is said about it; None where it does not apply or could not be made."""

    quantizer: str
    metric: str
    role: Role
    harm: Harm
    test: PairedTest | Insufficient
    verdict: Verdict
    margin: float | None = None
    margin_why: str = ""
    corrected: Corrected | None = None
    companions: Companions | None = None
    equivalence: Equivalence | None = None
    power: Power | None = None
    simultaneous: tuple[float, float] | None = None
    """Bonferroni interval over its family."""
    heterogeneity: Heterogeneity | None = None
    left_out: tuple[LeftOut, ...] = ()
    noise: float | None = None
    """Largest change of this metric between two runs of the same model (the A/A arms); None where none was made."""
    member: str = ""
    """Of a composite endpoint, the group that changed most: `test` is its test, with the interval and p that hold for all groups."""


@dataclass(frozen=True)
class ImageChange:
    """A smooth statistic of one pair, with an interval over images. `n`: images (positives, queries, or images x prompts: see `method`)."""

    model: str
    quantizer: str
    metric: str
    baseline: float
    candidate: float
    difference: float
    low: float
    high: float
    confidence: float
    n: int
    method: str
    draws: int
    seed: int | None


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test of an accuracy. gained, lost : images that became hits, that no longer are. None discordant: p = 1, n = 0."""

    model: str
    quantizer: str
    metric: str
    gained: int
    lost: int
    n: int
    images: int
    p: float


@dataclass(frozen=True)
class GroupChurn:
    """Images of a group whose first prediction changed, with a Wilson interval of the share. attribute, group "": all images."""

    model: str
    quantizer: str
    benchmark: str
    attribute: str
    group: str
    changed: int
    images: int
    share: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class BandEntry:
    """One class (gap changes) or group (changes of accuracy or mean skew) of a band.

    n_first, n_second : positives of both groups (or images, 0). baseline, candidate : the values that differ; None where not known.
    """

    name: str
    difference: float
    low: float
    high: float
    n_first: int
    n_second: int
    baseline: float | None = None
    candidate: float | None = None


@dataclass(frozen=True)
class Band:
    """Changes of all classes or groups at once: with probability `confidence` every interval holds its true change.

    subject : `gap` (slice_ is a pair, k its rank), `accuracy` (slice_ is an attribute, or two joined by `-and-`) or `mean skew` (slice_ is
        an attribute). critical : the studentized maximum used.
    """

    model: str
    quantizer: str
    benchmark: str
    slice_: str
    k: int
    subject: Literal["gap", "accuracy", "mean skew"]
    entries: tuple[BandEntry, ...]
    confidence: float
    critical: float
    draws: int
    seed: int

    @property
    def outside(self) -> tuple[BandEntry, ...]:
        """The entries whose interval excludes 0."""
        return tuple(row for row in self.entries if row.low > 0 or row.high < 0)


@dataclass(frozen=True)
class SwapTest:
    """An extreme statistic of one pair (Min/Max disparity, Min/Max skew) tested by swapping each image's two outcomes. No interval."""

    model: str
    quantizer: str
    metric: str
    difference: float
    p: float
    draws: int
    seed: int


@dataclass(frozen=True)
class ExtremeNull:
    """An extreme statistic of one version beside what group labels shuffled over the images give: expected value and 95 % quantile.

    `q95` is on the side on which the statistic is extreme (the 5 % quantile for a Min). excess : observed - expected.
    """

    model: str
    quantizer: str
    metric: str
    observed: float
    expected: float
    q95: float
    excess: float
    draws: int
    seed: int


@dataclass(frozen=True)
class NoiseArm:
    """One A/A arm: the same model evaluated twice in ways that should not matter. `arm`: such as `fp32, other batches`.

    change_by_metric : per metric the largest absolute difference over models. models : how many.
    churn : largest share of changed first predictions over models and classification benchmarks; None where there is none of these.
    """

    arm: str
    models: tuple[str, ...]
    change_by_metric: Mapping[str, float]
    churn: float | None


@dataclass(frozen=True)
class Sensitivity:
    """One cell under another open choice of the protocol, made from stored outcomes. `changed`: whether the verdict differs."""

    choice: str
    value: str
    quantizer: str
    metric: str
    mean_difference: float | None
    p: float | None
    verdict: VerdictName
    default_mean_difference: float | None
    default_verdict: VerdictName

    @property
    def changed(self) -> bool:
        """Whether the verdict is another one than under the default."""
        return self.verdict != self.default_verdict


@dataclass(frozen=True)
class Evidence:
    """All statistics of one comparison. Every tuple may be empty; `notes` says what was not computed, and why."""

    plan: AnalysisPlan
    cells: tuple[CellEvidence, ...] = ()
    changes: tuple[ImageChange, ...] = ()
    mcnemar: tuple[McNemar, ...] = ()
    churn: tuple[GroupChurn, ...] = ()
    bands: tuple[Band, ...] = ()
    swaps: tuple[SwapTest, ...] = ()
    nulls: tuple[ExtremeNull, ...] = ()
    noise: tuple[NoiseArm, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
