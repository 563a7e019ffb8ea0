import re

import numpy as np
import pandas as pd
import pytest

from qbias.contract import checked_rows, predict_images, predict_texts


def unit(count: int, width: int = 4) -> np.ndarray:
    row = np.random.default_rng(0).normal(size=(count, width))
    return row / np.linalg.norm(row, axis=1, keepdims=True)


def spoiled(row: int, value: object) -> np.ndarray:
    rows = unit(3)
    rows[row] = value
    return rows


def test_good_rows_pass_unchanged():
    assert np.array_equal(checked_rows(unit(3), names=["a", "b", "c"], column="text"), unit(3).astype(np.float32))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (unit(2), "shape (2, 4) for 3 rows"),
        (unit(3)[0], "shape (4,) for 3 rows"),
        (spoiled(1, np.nan), "row 1 (text 'b') holds NaN"),
        (spoiled(2, np.inf), "row 2 (text 'c') holds NaN"),
        (spoiled(0, 0.7), "row 0 (text 'a') is not of length 1"),
        (["x", "y", "z"], "no array of numbers"),
        (None, "shape () for 3 rows"),
    ],
)
def test_a_broken_answer_names_the_row_and_the_contract(answer, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        checked_rows(answer, names=["a", "b", "c"], column="text")
    assert "every row of length 1" in str(caught.value)


def test_images_reach_the_model_as_bytes_and_return_in_their_own_order(tmp_path):
    ids = [f"image{number}" for number in range(7)]
    for number, name in enumerate(ids):
        (tmp_path / name).write_bytes(bytes([number]))
    seen: list[int] = []

    def predict(frame: pd.DataFrame) -> np.ndarray:
        seen.append(len(frame))
        angle = np.array([image[0] for image in frame["image"]], dtype=float)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    done: list[int] = []
    rows = predict_images(predict, [tmp_path / name for name in ids], ids, batch_size=3, advance=done.append)
    assert np.allclose(np.arctan2(rows[:4, 1], rows[:4, 0]), [0, 1, 2, 3])
    assert seen == done == [3, 3, 1]


def test_texts_come_in_batches_of_the_list():
    lists: list[list[str]] = []

    def predict(frame: pd.DataFrame) -> np.ndarray:
        lists.append(list(frame["text"]))
        return np.eye(2)[[0] * len(frame)]

    assert predict_texts(predict, ["a", "b", "c"], batch_size=2).shape == (3, 2)
    assert lists == [["a", "b"], ["c"]]
