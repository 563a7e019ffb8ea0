"""The measurements, as plain functions of arrays (numpy only): no files, no models, no missing values returned as numbers.

Tie rule everywhere: the lower index comes first (a stable sort of descending scores), so both sides of a pair break ties the same way.
"""

from qbias.metrics.classification import (
    GroupRecalls,
    accuracy,
    group_counts,
    group_recalls,
    hits,
    recall_per_class,
    top_k_indices,
    worst_group,
    worst_group_accuracy,
)
from qbias.metrics.counts import HitCounts, hit_counts
from qbias.metrics.disparity import RecallGaps, gaps_between, macro_gap, max_disparity, min_disparity, recall_gaps
from qbias.metrics.groups import intersection, members, values
from qbias.metrics.retrieval import best_captions, both_ranks, image_ranks, items_before, own_scores, recall_at_k, text_ranks
from qbias.metrics.running import RunningSkews, RunningTop
from qbias.metrics.similarity import Scorer, pair_scores, scorer
from qbias.metrics.skew import Skews, max_skew, min_skew, ndkl, skews, skews_of_top, top_images

__all__ = [
    "GroupRecalls",
    "HitCounts",
    "RecallGaps",
    "RunningSkews",
    "RunningTop",
    "Scorer",
    "Skews",
    "accuracy",
    "best_captions",
    "both_ranks",
    "gaps_between",
    "group_counts",
    "group_recalls",
    "hit_counts",
    "hits",
    "image_ranks",
    "intersection",
    "items_before",
    "macro_gap",
    "max_disparity",
    "max_skew",
    "members",
    "min_disparity",
    "min_skew",
    "ndkl",
    "own_scores",
    "pair_scores",
    "recall_at_k",
    "recall_gaps",
    "recall_per_class",
    "scorer",
    "skews",
    "skews_of_top",
    "text_ranks",
    "top_images",
    "top_k_indices",
    "values",
    "worst_group",
    "worst_group_accuracy",
]
