"""Figure 1: the right values in the right rows, nothing clipped or overlapping, the same bytes each time."""

import re
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qbias.comparison import Comparison, compare
from qbias.report.figures import figure1, figure1_text, figure_metrics, marks, save_figure1
from tests.synthetic import changed, synthetic_evaluations, without_metric

ACCURACY, RECALL = "imagenet/accuracy_at_1", "coco/image_retrieval_recall_at_5"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(synthetic_evaluations(3, 5))


def test_it_shows_accuracy_and_recall(comparison: Comparison) -> None:
    assert figure_metrics(comparison) == [ACCURACY, RECALL]


def test_without_recall_at_5_it_shows_recall_at_1() -> None:
    evaluations = [without_metric(row, RECALL) for row in synthetic_evaluations(2, 2)]
    assert figure_metrics(compare(evaluations)) == [ACCURACY, "coco/image_retrieval_recall_at_1"]


def test_each_model_has_its_baseline_and_every_precision(comparison: Comparison) -> None:
    rows = marks(comparison, ACCURACY)
    evaluations = synthetic_evaluations(3, 5)
    assert [(row.model, row.quantizer, row.value) for row in rows] == [
        (row.model, row.quantizer, row.metrics[ACCURACY]) for row in evaluations
    ]
    assert all(row.baseline == evaluations[5 * (number // 5)].metrics[ACCURACY] for number, row in enumerate(rows))


def test_a_pair_that_is_missing_leaves_its_row_without_a_value() -> None:
    comparison = compare(changed(synthetic_evaluations(3, 3), 2, machine={"threads": "9"}))
    assert [row.value is None for row in marks(comparison, ACCURACY)] == [False, False, True] + [False] * 6
    assert "no value" in {text.get_text() for axis in figure1(comparison).axes for text in axis.texts}


def test_dots_are_drawn_where_their_values_are(comparison: Comparison) -> None:
    axis = figure1(comparison).axes[0]
    drawn = {round(float(np.asarray(line.get_xdata())[0]), 9) for line in axis.lines if len(np.asarray(line.get_xdata())) == 1}
    expected = {round(100 * row.value, 9) for row in marks(comparison, ACCURACY) if row.value is not None}
    assert drawn == expected


@pytest.mark.parametrize("name", [None, "clip-vit-b-32-datacomp-xl-s13b-b90k", "<script>alert(1)</script>", r"a $\frac$ & _b_"])
@pytest.mark.parametrize("quantizers", [2, 5])
def test_no_text_is_clipped_or_covers_another(name: str | None, quantizers: int) -> None:
    evaluations = synthetic_evaluations(3, quantizers)
    if name:
        evaluations = [replace(row, model=name) if row.model == "toy-s8-balanced" else row for row in evaluations]
    figure = figure1(compare(evaluations))
    figure.draw_without_rendering()
    labels = [label for axis in figure.axes for label in axis.get_yticklabels() if axis is figure.axes[0]]
    texts = [text for axis in figure.axes for text in (*axis.texts, axis.title)] + list(figure.texts) + labels
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in boxes:
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text
    overlaps = [(first[0], second[0]) for row, first in enumerate(boxes) for second in boxes[row + 1 :] if first[1].overlaps(second[1])]
    assert overlaps == []


def test_the_files_are_the_same_each_time_and_hold_no_date(comparison: Comparison, tmp_path: Path) -> None:
    contents = []
    for turn in ("first", "second"):
        save_figure1(comparison, tmp_path / f"{turn}.svg", tmp_path / f"{turn}.png")
        contents.append([(tmp_path / f"{turn}.{kind}").read_bytes() for kind in ("svg", "png")])
    assert contents[0] == contents[1]
    assert b"date" not in contents[0][0].lower()
    assert contents[0][1].startswith(b"\x89PNG")


def test_hostile_names_stay_text_in_the_svg(tmp_path: Path) -> None:
    evaluations = [replace(row, model="<script>alert(1)</script>-->") for row in synthetic_evaluations(1, 2)]
    save_figure1(compare(evaluations), tmp_path / "a.svg", tmp_path / "a.png")
    text = (tmp_path / "a.svg").read_text()
    assert "<script" not in text
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}  # noqa: S314
    assert "script" not in tags
    assert not re.search(r'(href|src)="(?!#)', text)


def test_drawing_warns_of_nothing(comparison: Comparison) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure1(comparison).draw_without_rendering()


def test_a_comparison_of_nothing_says_so(tmp_path: Path) -> None:
    save_figure1(compare([]), tmp_path / "a.svg", tmp_path / "a.png")
    assert figure1_text(compare([])) == "Neither accuracy nor retrieval recall was measured."


def test_the_words_hold_mean_and_range(comparison: Comparison) -> None:
    values = [100 * row.metrics[ACCURACY] for row in synthetic_evaluations(3, 5) if row.quantizer == "bnb-nf4"]
    assert f"bnb-nf4 {sum(values) / 3:.1f} ({min(values):.1f} to {max(values):.1f})" in figure1_text(comparison)
