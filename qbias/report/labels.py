"""How names and numbers from the data are written for readers: labels of metrics, precisions and groups; p-values, intervals, changes."""

import math
import re

QUANTIZERS = {
    "fp16": "Half precision",
    "bnb-nf4": "HuggingFace 4-bit",
    "bnb-fp4": "HuggingFace 4-bit (fp4)",
    "bnb-int8": "HuggingFace 8-bit",
    "torch-int8": "PyTorch 8-bit",
    "ort-int8": "ONNX Runtime 8-bit",
    "torchao-int8": "torchao 8-bit",
}
PAPERS = {"imagenet": "ImageNet", "coco": "COCO", "facet": "FACET", "fairface": "FairFace"}
"""The paper's benchmarks; any other is one of the user's own."""
SLICES = {
    "gender_mf": "Gender (MF)",
    "skin_ld": "Skin Tone (LD)",
    "age_my": "Age (MY)",
    "age_mo": "Age (MO)",
    "gender": "Gender",
    "race": "Race",
    "age": "Age",
    "skin_majority": "Skin Tone (majority of votes)",
    "skin_argmax": "Skin Tone (most votes)",
    "skin_any": "Skin Tone (any vote)",
}
STATISTICS = {
    "accuracy": "zero-shot accuracy",
    "image_retrieval_recall": "text-to-image recall",
    "text_retrieval_recall": "image-to-text recall",
    "min_disparity": "Min Disp",
    "max_disparity": "Max Disp",
    "min_skew": "MinSkew",
    "max_skew": "MaxSkew",
    "macro_gap": "macro gap",
    "ndkl": "NDKL",
    "worst_group_accuracy": "worst-group accuracy",
}
VERDICTS = {
    "worse": "changed, worse", "better": "changed, better", "changed": "changed", "equivalent": "within the margin",
    "inconclusive": "no evidence either way", "insufficient": "no test",
}  # fmt: skip
"""What a verdict is called; `changed` alone where neither direction is better."""


BRIEFLY = {"worse": "worse", "better": "better", "equivalent": "within margin", "inconclusive": "no evidence"}
"""The same where there is little room."""


def verdict_label(name: str, *, shifted: bool = False, brief: bool = False) -> str:
    """A verdict in words.

    Examples
    --------
    >>> verdict_label("equivalent", shifted=True), verdict_label("inconclusive"), verdict_label("inconclusive", brief=True)
    ('within the margin, shifted', 'no evidence either way', 'no evidence')
    """
    words = BRIEFLY.get(name, VERDICTS[name]) if brief else VERDICTS[name]
    return words + (", shifted" if shifted else "")


def quantizer_label(name: str) -> str:
    """The paper's name of a precision, where it has one, else ours."""
    return QUANTIZERS.get(name, name)


def benchmark_label(name: str) -> str:
    """A benchmark's proper name; a custom one's as it is."""
    return PAPERS.get(name, name)


def slice_label(name: str) -> str:
    """A pair's or attribute's name as the paper's tables write it, one of the user's own in words; both of an intersection.

    Examples
    --------
    >>> slice_label("skin_ld"), slice_label("gender-and-hair_length")
    ('Skin Tone (LD)', 'Gender & hair length')
    """
    return " & ".join(SLICES.get(part, part.replace("_", " ")) for part in name.split("-and-"))


def statistic_label(name: str) -> str:
    """The last part of a logged name: `max_disparity_at_5` is Max Disp@5."""
    stem, _, k = name.partition("_at_")
    return STATISTICS.get(stem, stem.replace("_", " ")) + (f"@{k}" if k else "")


def metric_label(name: str) -> str:
    """A logged metric name for readers.

    Examples
    --------
    >>> metric_label("facet/gender_mf/max_disparity_at_1"), metric_label("coco/image_retrieval_recall_at_5")
    ('FACET Gender (MF) Max Disp@1', 'COCO text-to-image recall@5')
    """
    benchmark, *slices, statistic = name.split("/")
    return " ".join([benchmark_label(benchmark), *map(slice_label, slices), statistic_label(statistic)])


def short(value: float, *, digits: int = 3) -> str:
    """A number as the paper prints it: no zero before the point, a true minus sign, never minus zero.

    Examples
    --------
    >>> short(0.0351), short(-0.0004), short(-0.25, digits=2), short(1.0)
    ('.035', '.000', '−.25', '1.000')
    """
    text = f"{abs(value):.{digits}f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def p_text(p: float) -> str:
    """A p-value to three decimals; never `.000`, and never 1 for what is less.

    Examples
    --------
    >>> p_text(0.0354), p_text(0.00002), p_text(0.9998), p_text(1)
    ('.035', '<.001', '>.999', '1.000')
    """
    if p < 0.0005:
        return "<.001"
    return ">.999" if 0.9995 <= p < 1 else short(p)


def interval_text(low: float, high: float) -> str:
    """Both ends of an interval as the paper prints them; an end keeps its sign where it rounds to zero.

    So an interval that excludes zero never looks as if it held it: `−.021, −.000` ends below zero, `−.021, .000` does not.

    Examples
    --------
    >>> interval_text(-0.0312, 0.0051), interval_text(-0.021, -0.0002), interval_text(0.0, 0.0)
    ('−.031, .005', '−.021, −.000', '.000, .000')
    """
    return ", ".join(("−" if end < 0 else "") + short(abs(end)) for end in (low, high))


def change_text(value: float, *, digits: int = 3) -> str:
    """A change with its sign: +.012, −.012 or .000."""
    text = short(value, digits=digits)
    return f"+{text}" if value > 0 and re.search(r"[1-9]", text) else text


def points_text(value: float) -> str:
    """A change of a share in percentage points, with its sign: −1.5."""
    points = round(100 * value, 1)
    return f"+{points:.1f}" if points > 0 else f"−{-points:.1f}" if points < 0 else "0.0"


def percent_text(value: float) -> str:
    """A share in percent; a small one that is not zero never reads as zero."""
    return "<0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def size_text(values: tuple[float, ...]) -> str:
    """The largest distance from zero."""
    return short(max((abs(value) for value in values if math.isfinite(value)), default=0.0))


def several(count: int, one: str, more: str = "") -> str:
    """A number with its noun.

    Examples
    --------
    >>> several(1, "cell"), several(1200, "cell"), several(0, "family", "families")
    ('1 cell', '1,200 cells', '0 families')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"
