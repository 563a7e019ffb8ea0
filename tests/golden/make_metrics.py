"""Golden values of the metrics, made by other libraries: python -m tests.golden.make_metrics (rewrites metrics.json).

scikit-learn's `top_k_accuracy_score` for accuracy, fairlearn's `MetricFrame` with scikit-learn's recall for disparities, and the plain
pandas version in skew_reference.py for skew. The inputs are drawn from a seed; metrics.json says which versions made the values.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("metrics.json")


@dataclass(frozen=True)
class Classified:
    """900 images, 20 classes of uneven size, scores that favour the right class, more so in group a for even classes."""

    score_NC: np.ndarray
    label_N: np.ndarray
    group_N: np.ndarray


def classification_inputs() -> Classified:
    rng = np.random.default_rng(2024)
    label = rng.choice(20, size=900, p=np.arange(1, 21) / 210)
    group = rng.choice(["a", "b"], size=900, p=[0.6, 0.4]).astype(object)
    score = rng.standard_normal((900, 20))
    score[np.arange(900), label] += 1.2 + 0.9 * np.where(label % 2 == 0, group == "a", group == "b")
    return Classified(score, label, group)


def skew_inputs() -> tuple[list[str], np.ndarray]:
    """700 images of four groups, one of them rare; 12 prompts, each leaning towards one group. No two scores are equal."""
    rng = np.random.default_rng(7)
    group = rng.choice(["north", "east", "south", "rare"], size=700, p=[0.5, 0.3, 0.19, 0.01])
    score = rng.standard_normal((700, 12))
    for prompt in range(12):
        score[group == ("north", "east", "south")[prompt % 3], prompt] += 0.1 * prompt
    return group.tolist(), score


def read_golden() -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return golden


def _classification(data: Classified) -> dict[str, Any]:
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import recall_score, top_k_accuracy_score

    best = data.score_NC.argmax(axis=1)
    recalls = {}
    for number in range(20):
        of_class = data.label_N == number
        frame = MetricFrame(
            metrics=recall_score,
            y_true=of_class[of_class],
            y_pred=(best == number)[of_class],
            sensitive_features=data.group_N[of_class],
        )
        recalls[number] = [float(frame.by_group.get(name, np.nan)) for name in ("a", "b")]
    accuracy = {f"sklearn_top_{k}_accuracy": float(top_k_accuracy_score(data.label_N, data.score_NC, k=k)) for k in (1, 5)}
    return accuracy | {"fairlearn_recall_CG": [recalls[number] for number in range(20)]}


def _disparity(data: Classified, k: int) -> dict[str, Any]:
    """Fairlearn's recall by group for each class with at least 25 images in both groups."""
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import recall_score

    better = (data.score_NC > data.score_NC[np.arange(len(data.label_N)), data.label_N][:, None]).sum(axis=1)
    gaps: list[float | None] = []
    for number in range(20):
        of_class = data.label_N == number
        groups = data.group_N[of_class]
        if min((groups == "a").sum(), (groups == "b").sum()) < 25:
            gaps.append(None)
            continue
        frame = MetricFrame(metrics=recall_score, y_true=of_class[of_class], y_pred=(better < k)[of_class], sensitive_features=groups)
        gaps.append(float(frame.by_group["a"] - frame.by_group["b"]))
    known = np.array([gap for gap in gaps if gap is not None])
    return {
        "gap_C": gaps,
        "min_signed": float(known.min()),
        "max_signed": float(known.max()),
        "min_absolute": float(np.abs(known).min()),
        "max_absolute": float(np.abs(known).max()),
        "mean": float(known.mean()),
    }


def main() -> None:
    from tests.golden.skew_reference import reference_skews

    data, (group, score) = classification_inputs(), skew_inputs()
    golden = {
        "made_with": {name: version(name) for name in ("scikit-learn", "fairlearn", "pandas", "numpy")},
        "classification": _classification(data),
        "disparity": {f"fairlearn_at_{k}": _disparity(data, k) for k in (1, 5)},
        "skew": {desired: reference_skews(group, score, k=100, desired=desired) for desired in ("dataset", "uniform")},
    }
    FILE.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
