"""The measurements, as plain functions of arrays (numpy only): no files, no models, no missing values returned as numbers.

Tie rule everywhere: the lower index comes first (a stable sort of descending scores), so both sides of a pair break ties the same way.
"""

from qbias.metrics.classification import GroupRecalls, accuracy, group_recalls, hits, recall_per_class, top_k_indices, worst_group_accuracy
from qbias.metrics.disparity import RecallGaps, macro_gap, max_disparity, min_disparity, recall_gaps
from qbias.metrics.groups import intersection, members, values
from qbias.metrics.retrieval import best_captions, both_ranks, image_ranks, items_before, own_scores, recall_at_k, text_ranks
from qbias.metrics.similarity import pair_scores, scorer
from qbias.metrics.skew import Skews, max_skew, min_skew, ndkl, skews, top_images

__all__ = [
    "GroupRecalls",
    "RecallGaps",
    "Skews",
    "accuracy",
    "best_captions",
    "both_ranks",
    "group_recalls",
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
    "text_ranks",
    "top_images",
    "top_k_indices",
    "values",
    "worst_group_accuracy",
]
