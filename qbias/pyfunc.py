"""The MLflow model of every version (models-from-code, no pickle): images or texts in, unit rows out.

`predict` takes a DataFrame with a column `image` (encoded image bytes, or base64 text as JSON carries them) or `text`; with both
columns, each row fills one of them, and the other is null (or, for JSON, where MLflow cannot read a null as bytes, an empty
`image`). It gives a float32 array (N, D) with rows of length 1, in the order of the DataFrame.

A version carries this file and the few modules in CODE, so it works where qbias is not installed.
"""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

import qbias
from qbias.digests import file_digest
from qbias.encoder import Encoder, Rows
from qbias.preprocess import crop
from qbias.quantizers import load_encoder
from qbias.quantizers.artifact import CARD

CODE = ("__init__.py", "digests.py", "encoder.py", "preprocess.py", "pyfunc.py", "quantizers/*.py")
"""What prediction needs of this package; `code_paths` of a version holds these files and no others."""
ARTIFACT = "model"
COLUMNS = {"image": DataType.binary, "text": DataType.string}


def signature(width: int) -> ModelSignature:
    """The contract as MLflow's signature: two columns of which each row fills one, (N, `width`) float32 out."""
    columns = [ColSpec(kind, name, required=False) for name, kind in COLUMNS.items()]
    return ModelSignature(Schema(columns), Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))


class ClipModel(PythonModel):  # type: ignore[misc]
    """A CLIP of any row of QUANTIZERS as an MLflow model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check the artifact's digests and make its Encoder."""
        folder = Path(context.artifacts[ARTIFACT])
        self._encoder = load_encoder(folder)
        self._digest = file_digest(folder / CARD)

    @property
    def encoder(self) -> Encoder:
        """The Encoder itself, for callers that hold pixels: `loaded.unwrap_python_model().encoder`."""
        return self._encoder

    @property
    def digest(self) -> str:
        """sha256 of the artifact's card, which holds the digest of every file: weights, config, tokenizer, preprocessing."""
        return self._digest

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Rows:
        """(N, D) float32 rows of length 1, in the order of `model_input`. What is in one call shares a batch.

        Raises
        ------
        ValueError
            If neither column is there, a row fills none or both, or an image cannot be decoded; the message names the row.
        """
        images, texts = filled_rows(model_input)
        row_ND = np.empty((len(model_input), self.encoder.width), np.float32)
        if images:
            values = model_input["image"].tolist()
            row_ND[images] = self.encoder.images(self._pixels([values[row] for row in images], images))
        if texts:
            values = model_input["text"].tolist()
            row_ND[texts] = self.encoder.texts([values[row] for row in texts])
        return row_ND

    def _pixels(self, values: Sequence[object], rows: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        resolution = self.encoder.preprocessing.resolution
        squares = []
        for value, row in zip(values, rows, strict=True):
            try:
                squares.append(crop(image_bytes(value), resolution))
            except ValueError as error:
                raise ValueError(f"row {row}, column 'image': {error}") from error
        return np.stack(squares)


def filled_rows(frame: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Positions of the rows that hold an image, and of those that hold a text.

    Raises
    ------
    ValueError
        If neither column is there, or a row fills none or both of them, or its text is no string.
    """
    if not isinstance(frame, pd.DataFrame) or not set(COLUMNS) & set(frame.columns):
        found = list(frame.columns) if isinstance(frame, pd.DataFrame) else type(frame).__name__
        raise ValueError(f"input is {found}: give a DataFrame with a column 'image' (encoded bytes) or 'text' (str)")
    cells = {name: frame[name].tolist() if name in frame else [None] * len(frame) for name in COLUMNS}
    has_image = [not (isinstance(cell, bytes | str) and not cell) and bool(pd.notna(cell)) for cell in cells["image"]]
    has_text = [bool(pd.notna(cell)) for cell in cells["text"]]
    for row, (image, text) in enumerate(zip(has_image, has_text, strict=True)):
        if image == text:
            raise ValueError(f"row {row} fills {'both columns' if image else 'neither column'}: give an 'image' or a 'text'")
        if text and not isinstance(cell := cells["text"][row], str):
            raise ValueError(f"row {row}, column 'text': {cell!r} is {type(cell).__name__}, not a string")
    return _positions(has_image), _positions(has_text)


def _positions(flags: Sequence[bool]) -> list[int]:
    return [row for row, flag in enumerate(flags) if flag]


def image_bytes(value: object) -> bytes:
    """The encoded image in a cell: bytes as they are, text decoded from base64.

    Raises
    ------
    ValueError
        If the cell holds something else.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"text of {len(value)} characters is not base64 ({error}): give the image file's bytes") from error
    raise ValueError(f"{type(value).__name__} is not an image: give the image file's bytes, or base64 text of them")


def code_files() -> dict[str, Path]:
    """The files of CODE: path inside the version's code folder -> file."""
    package = Path(qbias.__file__).parent
    files = sorted(file for pattern in CODE for file in package.glob(pattern))
    return {file.relative_to(package.parent).as_posix(): file for file in files}


mlflow.models.set_model(ClipModel())
