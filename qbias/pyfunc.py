"""The MLflow model of every version (models-from-code, no pickle): images or texts in, unit rows out.

`predict` takes a DataFrame with a column `image` (encoded image bytes, or base64 text as JSON carries them) or `text`; with both
columns, each row fills one of them, and the other is null (or an empty `image`). It gives a float32 array (N, D) with rows of
length 1, in the order of the DataFrame.

The signature calls the column `image` "any", not "binary": of a binary column MLflow's scoring server decodes the base64 itself, and
refuses a null, drops characters that are not base64, and never says in which row.

A version carries this file and the few modules in CODE, so it works where qbias is not installed.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType
from PIL import Image, ImageDraw

import qbias
from qbias.digests import file_digest
from qbias.encoder import Encoder, Rows
from qbias.preprocess import crop
from qbias.quantizers import load_encoder
from qbias.quantizers.artifact import CARD

CODE = ("__init__.py", "digests.py", "encoder.py", "preprocess.py", "pyfunc.py", "quantizers/*.py")
"""What prediction needs of this package; `code_paths` of a version holds these files and no others."""
ARTIFACT = "model"
COLUMNS = {"image": AnyType(), "text": DataType.string}
SAID = 10
"""So many faulty rows are told at once; the rest is counted."""


class InputError(MlflowException, ValueError):  # type: ignore[misc]
    """A mistake in what `predict` was given: a ValueError in Python, and HTTP 400 with the same message where the model is served."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)  # type: ignore[call-arg]


def signature(width: int) -> ModelSignature:
    """The contract as MLflow's signature: two columns of which each row fills one, (N, `width`) float32 out."""
    columns = [ColSpec(kind, name, required=False) for name, kind in COLUMNS.items()]
    return ModelSignature(Schema(columns), Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))


def example() -> pd.DataFrame:
    """The input example of every version: one drawn image as base64 text, and one text."""
    picture, file = Image.new("RGB", (32, 32), "white"), BytesIO()
    ImageDraw.Draw(picture).ellipse((6, 6, 26, 26), fill="red")
    picture.save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode(), None], "text": [None, "a red circle"]})


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
        InputError
            If neither column is there, a row fills none or both, or images cannot be decoded; the message names the rows.
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
        squares, faults = [], []
        for value, row in zip(values, rows, strict=True):
            try:
                squares.append(crop(image_bytes(value), resolution))
            except ValueError as error:
                faults.append(f"row {row}, column 'image': {error}")
        if faults:
            more = [f"and {len(faults) - SAID} more rows"] if len(faults) > SAID else []
            raise InputError("\n".join(faults[:SAID] + more))
        return np.stack(squares)


def filled_rows(frame: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Positions of the rows that hold an image, and of those that hold a text.

    Raises
    ------
    InputError
        If neither column is there, or a row fills none or both of them, or its text is no string.
    """
    if not isinstance(frame, pd.DataFrame) or not set(COLUMNS) & set(frame.columns):
        found = list(frame.columns) if isinstance(frame, pd.DataFrame) else type(frame).__name__
        raise InputError(f"input is {found}: give a DataFrame with a column 'image' (encoded bytes) or 'text' (str)")
    cells = {name: frame[name].tolist() if name in frame else [None] * len(frame) for name in COLUMNS}
    has_image = [_is_given(cell) and not (isinstance(cell, bytes | str) and not cell) for cell in cells["image"]]
    has_text = [_is_given(cell) for cell in cells["text"]]
    for row, (image, text) in enumerate(zip(has_image, has_text, strict=True)):
        if image == text:
            raise InputError(f"row {row} fills {'both columns' if image else 'neither column'}: give an 'image' or a 'text'")
        if text and not isinstance(cell := cells["text"][row], str):
            raise InputError(f"row {row}, column 'text': {cell!r} is {type(cell).__name__}, not a string")
    return _positions(has_image), _positions(has_text)


def _is_given(cell: Any) -> bool:
    """Whether a cell holds something; of a list or any other container pandas would ask each entry."""
    return not (pd.api.types.is_scalar(cell) and pd.isna(cell))


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
            return base64.b64decode("".join(value.split()), validate=True)  # MIME and MLflow's own clients break lines
        except ValueError as error:  # binascii.Error, or a letter outside ASCII
            raise ValueError(f"text of {len(value)} characters is not base64 ({error}): give the image file's bytes") from error
    raise ValueError(f"{type(value).__name__} is not an image: give the image file's bytes, or base64 text of them")


def code_files() -> dict[str, Path]:
    """The files of CODE: path inside the version's code folder -> file."""
    package = Path(qbias.__file__).parent
    files = sorted(file for pattern in CODE for file in package.glob(pattern))
    return {file.relative_to(package.parent).as_posix(): file for file in files}


mlflow.models.set_model(ClipModel())
