"""Golden values of the metrics, made by other libraries: python -m tests.golden.make_metrics (rewrites metrics.json).

scikit-learn's `top_k_accuracy_score` for accuracy and retrieval (that one also by a one-hot array), fairlearn's `MetricFrame` with
scikit-learn's recall for disparities and with its accuracy for groups and intersections, and the plain pandas version in
skew_reference.py for skew. The inputs are drawn from a seed; metrics.json says which versions made the values.
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


@dataclass(frozen=True)
class Captioned:
    """60 images with 1 to 5 captions each, captions of all images mixed; no two scores are equal."""

    image_ND: np.ndarray
    text_MD: np.ndarray
    image_M: np.ndarray


def retrieval_inputs() -> Captioned:
    rng = np.random.default_rng(31)
    image = rng.standard_normal((60, 12))
    image_M = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 6, 60)))
    return Captioned(image, image[image_M] + 1.5 * rng.standard_normal((len(image_M), 12)), image_M)


@dataclass(frozen=True)
class Grouped:
    """800 hits with two attributes, either missing on some images; the rates differ by group and most by both together."""

    hit_N: np.ndarray
    gender_N: np.ndarray
    skin_N: np.ndarray


def group_inputs() -> Grouped:
    rng = np.random.default_rng(99)
    gender = rng.choice(["masc", "fem", ""], size=800, p=[0.6, 0.3, 0.1]).astype(object)
    skin = rng.choice(["lighter", "darker", ""], size=800, p=[0.7, 0.2, 0.1]).astype(object)
    rate = 0.8 - 0.1 * (gender == "fem") - 0.1 * (skin == "darker") - 0.2 * ((gender == "fem") & (skin == "darker"))
    return Grouped(rng.random(800) < rate, gender, skin)


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


def _retrieval(data: Captioned, k: int) -> dict[str, float]:
    """Both directions, by two routes."""
    from sklearn.metrics import top_k_accuracy_score

    score_MN = data.text_MD @ data.image_ND.T
    own_MN = data.image_M[:, None] == np.arange(len(data.image_ND))
    # An image is answered exactly if its best-scored caption is in the top k: that caption is its one label.
    best_N = np.where(own_MN, score_MN, -np.inf).argmax(axis=0)
    captions = np.arange(len(data.text_MD))
    return {
        "sklearn_image": float(top_k_accuracy_score(data.image_M, score_MN, k=k, labels=np.arange(len(data.image_ND)))),
        "sklearn_text": float(top_k_accuracy_score(best_N, score_MN.T, k=k, labels=captions)),
        "one_hot_image": _one_hot_recall(score_MN, own_MN, k),
        "one_hot_text": _one_hot_recall(score_MN.T, own_MN.T, k),
    }


def _one_hot_recall(score_QI: np.ndarray, right_QI: np.ndarray, k: int) -> float:
    """Queries with any right item in the top k: the top k as one-hot rows (Q, k, I), each masked by what is right."""
    top_QK = np.argsort(-score_QI, axis=1)[:, :k]
    one_hot_QKI = np.eye(score_QI.shape[1], dtype=bool)[top_QK]
    return float((one_hot_QKI & right_QI[:, None, :]).any(axis=(1, 2)).mean())


def _groups(data: Grouped) -> dict[str, Any]:
    """Accuracy of each group and each intersection, over the images that have the attributes; and the worst."""
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import accuracy_score

    def frame(known: np.ndarray, features: dict[str, np.ndarray]) -> Any:
        some = {name: column[known].astype(str) for name, column in features.items()}
        return MetricFrame(metrics=accuracy_score, y_true=np.ones(known.sum()), y_pred=data.hit_N[known], sensitive_features=some)

    gender, skin = {"gender": data.gender_N}, {"skin": data.skin_N}
    one, other = frame(data.gender_N != "", gender), frame(data.skin_N != "", skin)
    both = frame((data.gender_N != "") & (data.skin_N != ""), gender | skin)
    return {
        "gender": {name: float(share) for name, share in one.by_group.items()},
        "skin": {name: float(share) for name, share in other.by_group.items()},
        "gender & skin": {" & ".join(names): float(share) for names, share in both.by_group.items()},
        "worst": {name: float(found.group_min()) for name, found in (("gender", one), ("skin", other), ("gender & skin", both))},
    }


def made_golden() -> dict[str, Any]:
    """Every golden value, computed now."""
    from tests.golden.skew_reference import reference_skews

    data, (group, score) = classification_inputs(), skew_inputs()
    return {
        "made_with": {name: version(name) for name in ("scikit-learn", "fairlearn", "pandas", "numpy")},
        "classification": _classification(data),
        "disparity": {f"fairlearn_at_{k}": _disparity(data, k) for k in (1, 5)},
        "skew": {desired: reference_skews(group, score, k=100, desired=desired) for desired in ("dataset", "uniform")},
        "retrieval": {f"recall_at_{k}": _retrieval(retrieval_inputs(), k) for k in (1, 5, 10)},
        "groups": _groups(group_inputs()),
    }


def main() -> None:
    FILE.write_text(json.dumps(made_golden(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
