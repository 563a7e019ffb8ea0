"""Skew and NDKL the plain way: one prompt at a time, with pandas, after Berg et al. 2022's definitions, ties at the cut removed.

Written for this project as a second route to the numbers, and as the slow side of the benchmark; it shares no code with qbias.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def reference_skews(group_N: Sequence[str], score_NP: np.ndarray, *, k: int, desired: str) -> dict[str, Any]:
    """MaxSkew, MinSkew, NDKL and each group's skew for each prompt, and the number of floored cells."""
    share = pd.Series(list(group_N)).value_counts(normalize=True)
    wanted = share if desired == "dataset" else pd.Series(1 / len(share), index=share.index)
    result: dict[str, Any] = {"max_P": [], "min_P": [], "ndkl_P": [], "floored": 0, "skew_P": {name: [] for name in sorted(wanted.index)}}
    for prompt in range(score_NP.shape[1]):
        table = pd.DataFrame({"group": list(group_N), "score": score_NP[:, prompt]})
        top = table.sort_values("score", ascending=False, kind="stable").head(k)
        counts = top["group"].value_counts().reindex(wanted.index, fill_value=0)
        skew = {name: math.log(max(count, 1) / k / wanted[str(name)]) for name, count in counts.items()}
        for name, value in skew.items():
            result["skew_P"][name].append(value)
        result["max_P"].append(max(skew.values()))
        result["min_P"].append(min(skew.values()))
        result["floored"] += int((counts == 0).sum())
        result["ndkl_P"].append(reference_ndkl(top["group"].tolist(), wanted))
    return result


def reference_ndkl(ranked: Sequence[str], wanted: pd.Series) -> float:
    """Prefix by prefix; a group that is absent contributes nothing."""
    seen = dict.fromkeys(wanted.index, 0)
    total = norm = 0.0
    for rank, name in enumerate(ranked, start=1):
        seen[name] += 1
        weight = 1 / math.log2(rank + 1)
        norm += weight
        total += weight * sum(count / rank * math.log(count / rank / wanted[group]) for group, count in seen.items() if count)
    return total / norm
