"""The tables behind a classification benchmark's metrics: recall by class and pair, by class and group, accuracy by group.

They are written as CSV beside the outcomes; whoever wonders where a number comes from finds the counts there.
"""

import numpy as np
import pandas as pd

from qbias.metrics import accuracy, group_recalls, members
from qbias.metrics.groups import AND
from qbias.prepared import Prepared
from qbias.records import Outcomes

CLASS_COLUMNS = (
    "class", "class_name", "pair", "k", "first", "second", "n_first", "n_second", "recall_first", "recall_second", "gap", "eligible",
)  # fmt: skip
GROUP_COLUMNS = ("attribute", "group", "k", "images", "accuracy", "eligible", "worst")
RECALL_COLUMNS = ("class", "class_name", "attribute", "group", "k", "positives", "hits", "recall", "eligible")


def class_table(outcomes: Outcomes) -> pd.DataFrame:
    """Per class, pair and k: positives and recall in both groups, the gap, and whether the floor is met.

    Empty for benchmarks without pairs. Recalls and gaps are missing (NaN) where a group has no positive of the class.
    """
    if outcomes.kind != "classification":
        return pd.DataFrame(columns=list(CLASS_COLUMNS))
    prepared = Prepared(outcomes)
    ends = {pair.name: (pair.first, pair.second) for pair in prepared.pairs}
    parts = []
    for (pair, k), gaps in prepared.gaps.items():
        first, second = ends[pair]
        columns = (
            range(len(prepared.classes)), prepared.classes, pair, k, first, second, gaps.count_first_C, gaps.count_second_C,
            gaps.recall_first_C, gaps.recall_second_C, gaps.gap_C, gaps.eligible_C,
        )  # fmt: skip
        parts.append(pd.DataFrame(dict(zip(CLASS_COLUMNS, columns, strict=True))))
    return _joined(parts, CLASS_COLUMNS)


def group_table(outcomes: Outcomes) -> pd.DataFrame:
    """Accuracy by group and by intersection of two attributes (say gender & skin tone), with the floor on group size.

    One row per attribute (or two, joined by ` & `), group and k: images, accuracy, whether the group has `min_per_group` images, and
    whether it is the worst group of that attribute: the one behind `worst_group_accuracy_at_k`, or each of several that are equally
    bad; no group where that metric could not be computed. Groups without images do not stand in it. Empty for other kinds.
    """
    if outcomes.kind != "classification":
        return pd.DataFrame(columns=list(GROUP_COLUMNS))
    prepared = Prepared(outcomes)
    images, floor = outcomes.frames["images"], int(prepared.facts["min_per_group"])
    rows: list[tuple[str, str, int, int, float, bool, bool]] = []
    for attributes, group_N in prepared.group_columns.items():
        sizes = prepared.group_sizes[attributes]
        for k in prepared.ks:
            hit = images[f"hit_at_{k}"].to_numpy(dtype=bool)
            share = {group: accuracy(hit[members(group_N, group)]) for group in sizes}
            compared = prepared.compared_groups(attributes, k)
            worst = [group for group in compared if share[group] == min(share[group] for group in compared)]
            rows += [(AND.join(attributes), group, k, n, share[group], n >= floor, group in worst) for group, n in sizes.items()]
    return pd.DataFrame(rows, columns=list(GROUP_COLUMNS))


def recall_table(outcomes: Outcomes) -> pd.DataFrame:
    """Recall by class and group, and by class and intersection of two attributes, with the floor on the number of positives.

    One row per class, attribute (or two, joined by ` & `), group and k: positives (a person counts under each labelled class, by the
    protocol's rule for second classes), hits, recall, and whether there are `min_per_group` positives. Only rows with a positive; an
    image in several groups counts in each. Empty for other kinds and for benchmarks without pairs.
    """
    if outcomes.kind != "classification":
        return pd.DataFrame(columns=list(RECALL_COLUMNS))
    prepared = Prepared(outcomes)
    found, floor, name_C = prepared.positives, int(prepared.facts["min_per_group"]), np.array(prepared.classes, dtype=object)
    parts = []
    for attributes, group_N in prepared.group_columns.items():
        groups = tuple(prepared.group_sizes[attributes])
        for k in prepared.ks:
            table = group_recalls(found.label_N, found.hit_N[k], group_N[found.row_N], classes=len(name_C), groups=groups)
            class_R, group_R = np.nonzero(table.count_CG)
            count_R, recall_R = table.count_CG[class_R, group_R], table.recall_CG[class_R, group_R]
            # A recall is hits / positives, so their product is within a rounding error of a whole number.
            hit_R = np.rint(recall_R * count_R).astype(np.int64)
            names_R = np.array(groups, dtype=object)[group_R]
            columns = (class_R, name_C[class_R], AND.join(attributes), names_R, k, count_R, hit_R, recall_R, count_R >= floor)
            parts.append(pd.DataFrame(dict(zip(RECALL_COLUMNS, columns, strict=True))))
    return _joined(parts, RECALL_COLUMNS)


def _joined(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
