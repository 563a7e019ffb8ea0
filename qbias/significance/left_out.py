"""Whether a result hangs on one source or one size of models: the same test without each in turn."""

from collections.abc import Mapping
from typing import Literal

from qbias.significance.paired import PairedTest, paired_t
from qbias.significance.records import LeftOut


def leave_one_out(test: PairedTest, labels: Mapping[str, str], *, label: Literal["source", "size"]) -> tuple[LeftOut, ...]:
    """The test's mean difference and interval without the models of each source (or size) in turn.

    A mean near the full one each time means that no single source carries the result. Where the rest has fewer than three models, or
    differences that do not vary, there is a mean and no interval (low and high None). A value that all models share leaves none: no row.

    Parameters
    ----------
    test : the paired t-test over all models; its confidence is used again.
    labels : each model's source (or size); models that are not in the test are ignored.
    label : which of both it is.

    Returns
    -------
    One LeftOut per value, in order of first appearance among the test's models.

    Raises
    ------
    ValueError
        If a model of the test has no label.

    Examples
    --------
    >>> test = paired_t(dict.fromkeys("abcd", 0.0), {"a": 0.01, "b": 0.02, "c": 0.03, "d": 0.06}, name="gap")
    >>> rows = leave_one_out(test, {"a": "x", "b": "x", "c": "x", "d": "y"}, label="source")
    >>> [(row.value, row.n, round(row.mean_difference, 3), row.low is None) for row in rows]
    [('x', 1, 0.06, True), ('y', 3, 0.02, False)]
    """
    if missing := [model for model in test.differences if model not in labels]:
        raise ValueError(f"{test.name}: {', '.join(missing)} have no {label}: give every model's {label}")
    rows = (_without(test, labels, label, value) for value in dict.fromkeys(labels[model] for model in test.differences))
    return tuple(row for row in rows if row)


def _without(test: PairedTest, labels: Mapping[str, str], label: Literal["source", "size"], value: str) -> LeftOut | None:
    rest = [model for model in test.differences if labels[model] != value]
    if not rest:
        return None
    before, after = ({model: side[model] for model in rest} for side in (test.baseline, test.candidate))
    found = paired_t(before, after, name=test.name, confidence=test.confidence)
    if isinstance(found, PairedTest):
        return LeftOut(label, value, found.n, found.mean_difference, found.ci_low, found.ci_high)
    return LeftOut(label, value, len(rest), sum(test.differences[model] for model in rest) / len(rest), None, None)
