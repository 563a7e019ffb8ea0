"""qbias.pyfunc: the MLflow model keeps its contract, also where qbias is not installed."""

import ast
import base64
import json
import os
import shutil
import site
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import qbias
from qbias.environment import quantizers_named
from qbias.preprocess import crop
from qbias.pyfunc import CODE, SAID, ClipModel, InputError, code_files, example, filled_rows, image_bytes, signature
from qbias.quantizers import load_encoder
from qbias.quantizers.artifact import WEIGHTS
from tests.tiny import RESOLUTION, tiny_clip

TEXTS = ["a photo of the robot", "", "x"]
ROWS = quantizers_named("all")
NAMES = [row.name for row in ROWS]
STRANGER = """
import importlib.util, json, sys
from pathlib import Path
assert importlib.util.find_spec("qbias") is None, "qbias is importable: this process shows nothing"
import pickle, socket
import cloudpickle, mlflow, numpy as np, pandas as pd, torch
def never(*arguments, **options):
    raise AssertionError(f"network or pickle: {arguments}")
def only_weights(*arguments, load=torch.load, **options):
    assert options.get("weights_only"), "torch.load that unpickles"
    return load(*arguments, **options)
socket.socket.connect = socket.create_connection = socket.getaddrinfo = never
pickle.load = pickle.loads = cloudpickle.load = cloudpickle.loads = never
pickle.Unpickler = type("Refused", (pickle.Unpickler,), {"__init__": never})
torch.load = only_weights
root, out = map(Path, sys.argv[1:])
frame = pd.DataFrame({"image": [file.read_bytes() for file in sorted(root.glob("*.png"))]})
rows = {}
for name in sorted(folder.name for folder in root.iterdir() if folder.is_dir()):
    model = mlflow.pyfunc.load_model(str(root / name))
    rows[f"{name}/images"] = model.predict(frame)
    rows[f"{name}/texts"] = model.predict(pd.DataFrame({"text": json.loads((root / "texts.json").read_text())}))
    import qbias
    assert Path(qbias.__file__).is_relative_to(root), qbias.__file__
    for module in [module for module in sys.modules if module.partition(".")[0] == "qbias"]:
        del sys.modules[module]
with open(out, "wb") as file:
    np.savez(file, **rows)
"""


def picture(seed: int, size: tuple[int, int] = (80, 70)) -> bytes:
    """A PNG of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every row as a saved MLflow model, beside the pictures and texts that the tests use."""
    root = tmp_path_factory.mktemp("versions")
    work = tmp_path_factory.mktemp("work")
    baseline = tiny_clip(work / "baseline")
    for path, file in code_files().items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, work / path)
    for row in ROWS:
        row.save(baseline, work / row.name / "model")
        save_model(root / row.name, work / row.name / "model", work / "qbias")
    for number, content in enumerate(PICTURES):
        (root / f"{number}.png").write_bytes(content)
    (root / "texts.json").write_text(json.dumps(TEXTS))
    return root


def save_model(out: Path, folder: Path, code: Path) -> None:
    """A quantized folder as an MLflow model, with an environment that is not checked here."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*An input example was not provided")
        mlflow.pyfunc.save_model(
            out,
            python_model=str(code / "pyfunc.py"),
            artifacts={"model": str(folder)},
            code_paths=[str(code)],
            pip_requirements=["mlflow"],
            signature=signature(64),
        )


@pytest.fixture(scope="module")
def model(versions: Path) -> Any:
    """The fp32 version, loaded as anyone loads it."""
    return mlflow.pyfunc.load_model(str(versions / "fp32"))


def test_prediction_is_the_encoders(model: Any, versions: Path) -> None:
    """Images and texts give what the Encoder gives for the same batch, as float32 unit rows."""
    encoder = load_encoder(versions / "fp32" / "artifacts" / "model")
    pixel_NRR3 = np.stack([crop(content, RESOLUTION) for content in PICTURES])
    rows = model.predict(pd.DataFrame({"image": PICTURES}))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, encoder.images(pixel_NRR3))
    np.testing.assert_array_equal(model.predict(pd.DataFrame({"text": TEXTS})), encoder.texts(TEXTS))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    handed = model.unwrap_python_model().encoder
    np.testing.assert_array_equal(handed.images(pixel_NRR3), rows)


def test_mixed_rows_keep_their_order(model: Any) -> None:
    """Both columns, one filled per row, with an index of its own: each row gets its own embedding."""
    frame = pd.DataFrame({"image": [PICTURES[0], None, PICTURES[1], b""], "text": [None, TEXTS[0], None, TEXTS[1]]}, index=[7, 3, 3, 0])
    images, texts = model.predict(pd.DataFrame({"image": PICTURES[:2]})), model.predict(pd.DataFrame({"text": TEXTS[:2]}))
    rows = model.predict(frame)
    np.testing.assert_array_equal(rows[[0, 2]], images)
    np.testing.assert_array_equal(rows[[1, 3]], texts)


def test_base64_text_is_the_same_image(model: Any) -> None:
    """A string in the image column is base64, as JSON has to carry bytes."""
    plain = model.predict(pd.DataFrame({"image": PICTURES}))
    coded = model.predict(pd.DataFrame({"image": [base64.b64encode(content).decode() for content in PICTURES]}))
    np.testing.assert_array_equal(coded, plain)


def test_served_json_gives_the_same_rows(model: Any) -> None:
    """MLflow's scoring server parses base64 and nulls as its clients send them, and answers with the same numbers."""
    from mlflow.pyfunc import scoring_server

    code = [base64.b64encode(content).decode() for content in PICTURES]
    frame = pd.DataFrame({"image": [PICTURES[0], None], "text": [None, TEXTS[0]]})
    for columns, data, expected in [
        (["image"], [[one] for one in code], model.predict(pd.DataFrame({"image": PICTURES}))),
        (["text"], [[one] for one in TEXTS], model.predict(pd.DataFrame({"text": TEXTS}))),
        (["image", "text"], [[code[0], None], ["", TEXTS[0]]], model.predict(frame)),
        (["image", "text"], [[code[0], None], [None, TEXTS[0]]], model.predict(frame)),
    ]:
        body = json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode()
        answer = scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
        assert answer.status == 200, answer.response
        np.testing.assert_array_equal(np.float32(json.loads(answer.response)["predictions"]), expected)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"image": [PICTURES[0], b"no image"]}), "row 1, column 'image': cannot read image of 8 bytes"),
        (pd.DataFrame({"image": [PICTURES[0], PICTURES[1][:300]]}), "row 1, column 'image': cannot read image of 300 bytes"),
        (pd.DataFrame({"image": ["?no base64?"]}), "row 0, column 'image': text of 11 characters is not base64"),
        (pd.DataFrame({"image": [PICTURES[0], None]}), "row 1 fills neither column"),
        (pd.DataFrame({"image": [PICTURES[0]], "text": ["x"]}), "row 0 fills both columns"),
        (pd.DataFrame({"text": ["x", 5]}), "row 1, column 'text': 5 is int, not a string"),
        (pd.DataFrame({"image": [3.5]}, dtype=object), "row 0, column 'image': float is not an image"),
        (pd.DataFrame({"image": [[1, 2]]}), "row 0, column 'image': list is not an image"),
        (pd.DataFrame({"image": ["äöü="]}), "row 0, column 'image': text of 4 characters is not base64"),
        (pd.DataFrame({"text": [["x", "y"]]}), "is list, not a string"),
    ],
)
def test_wrong_rows_are_named(versions: Path, frame: pd.DataFrame, message: str) -> None:
    """Each mistake in a row is reported with the row's number and the remedy."""
    python_model = mlflow.pyfunc.load_model(str(versions / "fp32")).unwrap_python_model()
    with pytest.raises(ValueError, match=message):
        python_model.predict(None, frame)


def test_other_inputs_are_refused() -> None:
    """No DataFrame, or one without either column."""
    with pytest.raises(ValueError, match=r"input is \['picture'\]: give a DataFrame with a column 'image'"):
        filled_rows(pd.DataFrame({"picture": [1]}))
    with pytest.raises(ValueError, match="input is list"):
        filled_rows([1])  # type: ignore[arg-type]
    assert filled_rows(pd.DataFrame({"image": []})) == ([], [])
    assert image_bytes(bytearray(b"x")) == image_bytes(memoryview(b"x")) == b"x"


def test_an_empty_frame_gives_no_rows(model: Any) -> None:
    """(0, D), so that callers can concatenate."""
    assert model.predict(pd.DataFrame({"text": []}, dtype=object)).shape == (0, 64)


def foreign_packages(folder: Path) -> Path:
    """A view of the installed packages without qbias, however it was installed."""
    packages = [Path(place) for place in site.getsitepackages() if (Path(place) / "mlflow").is_dir()]
    folder.mkdir()
    for entry in packages[0].iterdir():
        if "qbias" not in entry.name and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


def test_versions_work_where_qbias_is_not_installed(versions: Path, tmp_path: Path) -> None:
    """Another process without qbias, another working directory, no network: every row loads and gives the same bits."""
    python_path = foreign_packages(tmp_path / "packages")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(python_path)}
    import torch

    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    command = [sys.executable, "-S", "-c", STRANGER, str(versions), str(tmp_path / "rows.npz")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = np.load(tmp_path / "rows.npz", allow_pickle=False)
    pixel_NRR3 = np.stack([crop(content, RESOLUTION) for content in PICTURES])
    for name in NAMES:
        encoder = load_encoder(versions / name / "artifacts" / "model")
        np.testing.assert_array_equal(rows[f"{name}/images"], encoder.images(pixel_NRR3), err_msg=name)
        np.testing.assert_array_equal(rows[f"{name}/texts"], encoder.texts(TEXTS), err_msg=name)


def test_code_is_small_and_closed(versions: Path) -> None:
    """`code_paths` holds a few small source files, and none of them imports a module of qbias that is not among them."""
    files = code_files()
    assert sum(file.stat().st_size for file in files.values()) < 100_000
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files}
    for file in files.values():
        for node in ast.walk(ast.parse(file.read_text())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name for name in named if name.partition(".")[0] == "qbias"} <= modules, file
    for pattern in CODE:
        assert list(Path(qbias.__file__).parent.glob(pattern)), f"{pattern} names nothing"


def test_nothing_is_pickled_and_no_weights_travel_as_code(versions: Path) -> None:
    """A version holds source, weights and text files only."""
    for name in NAMES:
        kinds = {file.suffix for file in (versions / name).rglob("*") if file.is_file()}
        assert kinds <= {".py", ".json", ".txt", ".yaml", ".safetensors", ".onnx", ""}
        assert {file.suffix for file in (versions / name / "code").rglob("*") if file.is_file()} == {".py"}


@pytest.mark.parametrize("name", NAMES)
def test_tampering_stops_loading(versions: Path, tmp_path: Path, name: str) -> None:
    """A version with one bit changed in a weight file does not load, and says which file it is."""
    shutil.copytree(versions / name, tmp_path / "version")
    for file in (tmp_path / "version" / "artifacts" / "model").iterdir():
        if file.suffix in WEIGHTS:
            content = file.read_bytes()
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(Exception, match=rf"{file.name} has changed"):
                mlflow.pyfunc.load_model(str(tmp_path / "version"))
            file.write_bytes(content)


def test_every_bad_image_of_a_batch_is_named(model: Any) -> None:
    """All offenders at once, the first rows in words and the rest counted; a ValueError, and for a server HTTP 400."""
    frame = pd.DataFrame({"image": [PICTURES[0], b"bad", PICTURES[1], b"worse"]})
    with pytest.raises(ValueError, match=r"row 1, column 'image'.*\nrow 3, column 'image'") as caught:
        model.predict(frame)
    assert "row 0" not in str(caught.value)
    assert type(caught.value).__name__ == InputError.__name__
    assert caught.value.get_http_status_code() == 400  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"and 2 more rows$") as caught:
        model.predict(pd.DataFrame({"image": [b"bad"] * (SAID + 2)}))
    assert str(caught.value).count("\n") == SAID


def test_the_example_fills_one_column_a_row(model: Any) -> None:
    """It is an input that the model takes."""
    assert filled_rows(example()) == ([0], [1])
    assert model.predict(example()).shape == (2, 64)
    assert base64.b64decode(example()["image"][0]).startswith(b"\x89PNG")


def test_the_model_is_set_for_mlflow() -> None:
    """Models-from-code: importing the file hands MLflow a ClipModel."""
    from mlflow.models.model import __mlflow_model__ as handed

    assert type(handed).__name__ == ClipModel.__name__
