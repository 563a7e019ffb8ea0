"""docs/calibration.md: what was simulated, what came out, and what misses. A pure function of the claims."""

from collections.abc import Mapping, Sequence

from benches.calibration.claims import SEED, Claim
from qbias.report.drawing import Drawing

INTRODUCTION = f"""# Calibration by simulation

Made by `make calibrate` (`python -m benches.calibration`); do not edit by hand. Every row puts one promise of the statistics to the
proof: data whose truth is known by construction go many times through the functions that a study uses, and the table says how often they
were right. Levels are 5 %, intervals and bands 95 %. **MC SE** is the Monte Carlo standard error of the estimate; every bound is read as
"+ 2 MC SE" ("- 2 MC SE" where it is a lower one), so a method that lies on its bound misses by chance once in some forty rows. Rows
without a bound are information. All randomness comes from seed {SEED} and the simulation's name.
"""
SECTIONS = {
    "Tests over models": (
        "Eight models, as in the paper. What the tests assume holds in the first rows; the rows with correlated models show what the "
        "paper's test does where models share their images. At n = 8 a sign-flip test's largest level below 5 % is 12/256 = 4.7 %. "
        "Where models' changes are skewed, all three reject too often: flipping signs is exact for symmetric changes only. The rows of the "
        "inflation curve have 20,000 replications since, with 4,000, one of the six points lay beyond 2 MC SE."
    ),
    "Models that share their images": (
        "Cochran's Q and the pooled change with the covariance of the models' changes over their common images."
    ),
    "Intervals and bands over images": (
        "Images are drawn from a population with known chances of gain and loss per class and group; the truth is gain less loss. Recalls "
        "are .3 to .95 before. Resamples: 500. An interval of one class's gap stands here to show the bootstrap at its smallest; the "
        "report shows classes only within their band."
    ),
    "Mean skew and extreme skews": (
        "New images and new prompts each time, scores as products of vectors, a candidate with its own noise. Resamples: 300; swaps: 199. "
        "`Groups moved`: the groups' means changed between the versions, and the true change comes from 4,000 prompts."
    ),
    "Nothing planted": (
        "Outcomes as a study stores them, through `classification_changes`; each image's two predictions change over with probability one "
        "half, so that nothing changed (random flips would shrink recalls, which is a change)."
    ),
    "A planted change": (
        "The same, and then a share of one group's predictions in one class turned from right to wrong: the gap of that class falls by "
        "exactly this share. The background churn is 5 %. Power of 80 % is asked where share x root of the group's size is at least 2.8; "
        "the rest of the curve is information. The last row of each size is a mean, in points, not a rate."
    ),
    "Why extremes get no interval": (
        "Percentile and basic bootstrap intervals (95 % nominal) of Min/Max disparities over 20 classes of 50 persons per group, churn "
        "6 %. The library makes neither: extremes are tested by swaps and stand beside their null."
    ),
}  # fmt: skip
"""Sections in the order of the report, and what to know when reading them."""


def document(claims: Mapping[str, Sequence[Claim]], figures: Mapping[str, Sequence[Drawing]]) -> str:
    """The whole page: introduction, summary, a table per section with its figures.

    Parameters
    ----------
    claims, figures : by section; figures lie in `calibration/<name>.svg` beside the page.
    """
    parts = [INTRODUCTION, _summary([row for rows in claims.values() for row in rows])]
    for section, note in SECTIONS.items():
        if rows := claims.get(section):
            parts += [f"## {section}\n\n{note}\n", *map(_picture, figures.get(section, ())), _table(rows)]
    return "\n".join(parts)


def _summary(claims: Sequence[Claim]) -> str:
    counted = {name: sum(row.verdict == name for row in claims) for name in ("reached", "missed", "information")}
    text = (
        f"## Summary\n\n{counted['reached'] + counted['missed']} bounds: {counted['reached']} reached, {counted['missed']} missed; "
        f"{counted['information']} rows of information.\n"
    )
    missed = [row for row in claims if row.verdict == "missed"]
    if not missed:
        return text
    lines = [
        f"- **{row.what}** ({row.setting}): {_rate(row)} against {row.bound}; {row.reason or 'not explained: to be changed'}"
        for row in missed
    ]  # fmt: skip
    return text + "\n### What misses\n\n" + "\n".join(lines) + "\n"


def _picture(drawing: Drawing) -> str:
    return f"![{drawing.text}](calibration/{drawing.name}.svg)\n\n*{drawing.caption}*\n"


def _table(claims: Sequence[Claim]) -> str:
    head = "| what | setting | estimate | MC SE | replications | bound | verdict |\n|---|---|---:|---:|---:|---|---|\n"
    cells = [
        (row.what, row.setting, _rate(row), f"{100 * row.error:.2f}", f"{row.replications:,}", row.bound, _verdict(row)) for row in claims
    ]  # fmt: skip
    return head + "\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n"


def _rate(row: Claim) -> str:
    return f"{100 * row.estimate:.1f} %"


def _verdict(row: Claim) -> str:
    return "**missed**" if row.verdict == "missed" else row.verdict
