"""The probe embedded: by the baseline with its layers listened to, then by the candidate in the batches that drift, company and speed need.

Shapes: N items of the probe.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from qbias.audit.batches import differences
from qbias.audit.drift import drift, others, overlap, rank_correlation
from qbias.audit.layers import Heard
from qbias.audit.probe import Probe
from qbias.audit.speed import TimedEncoder, speeds
from qbias.audit.table import LARGE, NEAR, THRESHOLD, TOWERS
from qbias.encoder import Encoder, Rows

Found = dict[str, float | str]
"""Metric -> its number, or the reason why there is none."""
Reach = dict[str, NDArray[np.float64]]
"""Tower -> largest activation of each item, (N,)."""
UNREACHED = (
    "the largest activation on the probe is {:.2f}, below LLM.int8()'s threshold of 6; see layer_difference_outlier for scaled inputs"
)


def baseline_pass(original: Encoder, heard: Heard, shown: Probe) -> tuple[dict[str, Rows], Reach]:
    """The baseline's rows of the probe, batch by batch, and what its layers were fed."""
    rows: dict[str, Rows] = {}
    reach: Reach = {}
    for tower, embed in embedders(original, shown).items():
        found, reached = [], []
        for items in in_order(shown):
            heard.reach.clear()
            found.append(embed(items))
            reached.append(heard.reach[tower].numpy().astype(np.float64))
        rows[tower], reach[tower] = np.concatenate(found), np.concatenate(reached)
    return rows, reach


def embedders(encoder: Encoder | TimedEncoder, shown: Probe) -> dict[str, Callable[[NDArray[np.intp]], Rows]]:
    """Per tower: the rows of these items of the probe, embedded as one batch."""
    return {
        "image": lambda items: encoder.images(shown.pixel_NRR3[items]),
        "text": lambda items: encoder.texts([shown.texts[item] for item in items]),
    }


def in_order(shown: Probe) -> list[NDArray[np.intp]]:
    """The probe's items in batches of 32, in their order: what the drift is measured with."""
    return np.array_split(np.arange(len(shown.texts)), len(shown.texts) // LARGE)


def moved(candidate: Encoder, base: Mapping[str, Rows], reach: Reach, shown: Probe) -> Found:
    """Drift, neighbours, batch invariance and speed of the candidate."""
    timed = TimedEncoder(candidate)
    found: Found = {}
    rows: dict[str, Rows] = {}
    for tower, embed in embedders(timed, shown).items():
        rows[tower] = np.concatenate([embed(items) for items in in_order(shown)])
        found |= {f"audit/drift/{tower}/{name}": value for name, value in drift(rows[tower], base[tower]).items()}
        difference, outlier = differences(embed, rows[tower], reach[tower])
        largest = float(reach[tower].max())
        found[f"audit/activation/{tower}"] = largest
        found[f"audit/batch/{tower}/difference"] = difference
        found[f"audit/batch/{tower}/difference_outlier"] = outlier if largest >= THRESHOLD else UNREACHED.format(largest)
        found |= {f"audit/speed/{tower}/{name}": value for name, value in speeds(timed.calls[tower]).items()}
    return found | _neighbours(rows, base)


def _neighbours(rows: Mapping[str, Rows], base: Mapping[str, Rows]) -> Found:
    """Whether an image's nearest texts and images stay the same, and in which order."""
    own, before = ({"text": side["image"] @ side["text"].T, "image": others(side["image"] @ side["image"].T)} for side in (rows, base))
    found: Found = {}
    for kind in TOWERS:
        found[f"audit/neighbours/image_to_{kind}/overlap_at_10"] = overlap(own[kind], before[kind], NEAR)
        correlation = rank_correlation(own[kind], before[kind])
        reason = "every image has the same cosine with all others: there is no order"
        found[f"audit/neighbours/image_to_{kind}/spearman"] = reason if correlation is None else correlation
    return found
