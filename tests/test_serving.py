"""A registered version as a server: `mlflow models serve` in a process that has no qbias, asked over HTTP on loopback."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from qbias.model_rows import ModelRow
from qbias.quantizers import QUANTIZERS
from registry.versions import register
from tests.conftest import copied_store, current_store
from tests.test_pyfunc import PICTURES, TEXTS, foreign_packages
from tests.test_versions import answering, model_row

CHAMPION = "models:/toy-small@champion"
CODED = [base64.b64encode(content).decode() for content in PICTURES]
# What `mlflow models serve` starts by this name; `-S` keeps out the project that is installed beside its dependencies.
UVICORN = """#!/bin/sh
{python} -S -c 'import importlib.util as find; assert find.find_spec("qbias") is None' || exit 1
exec {python} -S -m uvicorn "$@"
"""


@dataclass(frozen=True)
class Served:
    """A running server of the champion, and the same version loaded in this process."""

    address: str
    model: Any
    row: ModelRow

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the server's answer."""
        request = urllib.request.Request(f"{self.address}/invocations", body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def rows(self, body: dict[str, Any]) -> Any:
        """The float32 rows that the server answers with."""
        status, said = self.answer(json.dumps(body).encode())
        assert status == 200, said
        return np.float32(said["predictions"])

    def refusal(self, body: dict[str, Any]) -> str:
        """The message of the server's refusal."""
        status, said = self.answer(json.dumps(body).encode())
        assert status == 400, said
        assert "stack_trace" not in said
        assert said["error_code"] == "INVALID_PARAMETER_VALUE"
        return str(said["message"])


@pytest.fixture(scope="module")
def served(empty_store: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests."""
    folder = tmp_path_factory.mktemp("serving")
    with current_store(copied_store(empty_store, folder / "store")) as store:
        register(model_row(tiny), [QUANTIZERS["torch-int8"]], report=lambda line: None)
        MlflowClient().set_registered_model_alias("toy-small", "champion", "2")
        process, address = started(folder, store.uri)
        try:
            yield Served(answering(address, process), mlflow.pyfunc.load_model(CHAMPION), model_row(tiny))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def started(folder: Path, store: str) -> tuple["subprocess.Popen[bytes]", str]:
    """`mlflow models serve` of the champion on a free loopback port, without qbias on its path."""
    packages = foreign_packages(folder / "packages")
    (folder / "bin").mkdir()
    script = folder / "bin" / "uvicorn"
    script.write_text(UVICORN.format(python=sys.executable))
    script.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    import torch

    environment = os.environ | {
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(packages),
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    serve = ["models", "serve", "-m", CHAMPION, "--env-manager", "local", "--host", "127.0.0.1", "--port", port]
    with (folder / "server.log").open("wb") as log:
        command = [sys.executable, "-S", "-m", "mlflow", *serve]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    return process, f"http://127.0.0.1:{port}"


def test_images_as_base64(served: Served) -> None:
    """The same rows, to the bit, as the version loaded in Python gives for the bytes."""
    rows = served.rows({"dataframe_split": {"columns": ["image"], "data": [[one] for one in CODED]}})
    np.testing.assert_array_equal(rows, served.model.predict(pd.DataFrame({"image": PICTURES})))
    broken_lines = base64.encodebytes(PICTURES[0]).decode()
    np.testing.assert_array_equal(
        served.rows({"dataframe_records": [{"image": broken_lines}]}), served.model.predict(pd.DataFrame({"image": PICTURES[:1]}))
    )


def test_texts(served: Served) -> None:
    """Texts, the empty one too."""
    rows = served.rows({"dataframe_records": [{"text": one} for one in TEXTS]})
    np.testing.assert_array_equal(rows, served.model.predict(pd.DataFrame({"text": TEXTS})))
    np.testing.assert_array_equal(served.rows({"inputs": {"text": TEXTS}}), rows)


def test_both_in_one_request(served: Served) -> None:
    """Records with one of the two keys, columns with null, and an empty image for null are the same request."""
    frame = pd.DataFrame({"image": [PICTURES[0], None, PICTURES[1]], "text": [None, TEXTS[0], None]})
    expected = served.model.predict(frame)
    for body in (
        {"dataframe_records": [{"image": CODED[0]}, {"text": TEXTS[0]}, {"image": CODED[1]}]},
        {"dataframe_split": {"columns": ["image", "text"], "data": [[CODED[0], None], [None, TEXTS[0]], [CODED[1], None]]}},
        {"dataframe_split": {"columns": ["text", "image"], "data": [[None, CODED[0]], [TEXTS[0], ""], [None, CODED[1]]]}},
        {"inputs": [{"image": CODED[0]}, {"text": TEXTS[0]}, {"image": CODED[1]}]},
    ):
        np.testing.assert_array_equal(served.rows(body), expected)


def test_a_corrupt_image_names_its_row(served: Served) -> None:
    """Among good images and texts, every bad one is named by its row; the server goes on."""
    cut = base64.b64encode(PICTURES[0][:200]).decode()
    records = [{"image": CODED[0]}, {"image": cut}, {"text": "x"}, {"image": "no base64!"}, {"image": CODED[1]}, {"image": 5}]
    said = served.refusal({"dataframe_records": records})
    assert "row 1, column 'image': cannot read image of 200 bytes" in said
    assert "row 3, column 'image': text of 10 characters is not base64" in said
    assert "row 5, column 'image': int is not an image" in said
    assert not any(f"row {row}," in said for row in (0, 2, 4))
    assert len(served.rows({"dataframe_records": records[:1]})) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"dataframe_records": [{"text": "x"}, {}]}, "row 1 fills neither column"),
        ({"dataframe_records": [{"text": "x", "image": CODED[0]}]}, "row 0 fills both columns"),
        ({"dataframe_records": [{"text": "x"}, {"text": 5}]}, "row 1, column 'text': 5 is int, not a string"),
        ({"dataframe_records": [{"text": "x"}, {"text": ["y"]}]}, "row 1, column 'text': ['y'] is list, not a string"),
        ({"dataframe_records": [{"picture": CODED[0]}]}, "give a DataFrame with a column 'image'"),
        ({"dataframe_records": []}, "give a DataFrame with a column 'image'"),
    ],
)
def test_other_mistakes_are_refusals(served: Served, body: dict[str, Any], message: str) -> None:
    """HTTP 400 with the place and the remedy, and no stack trace."""
    assert message in served.refusal(body)


def test_what_is_no_request(served: Served) -> None:
    """MLflow's own checks answer with 400 as well."""
    assert served.answer(b"{not json")[0] == 400
    assert served.answer(json.dumps({"image": CODED[0]}).encode())[0] == 400


def test_the_logged_example_is_a_request(served: Served) -> None:
    """Signature and example are logged, and the example can be sent as it is."""
    metadata = served.model.metadata
    assert metadata.get_input_schema().input_names() == ["image", "text"]
    assert not metadata.get_input_schema().required_input_names()
    assert metadata.get_output_schema().inputs[0].shape == (-1, 64)
    body = json.loads(Path(mlflow.artifacts.download_artifacts(f"{CHAMPION}/serving_input_example.json")).read_text())
    np.testing.assert_array_equal(served.rows(body), served.model.predict(served.model.input_example))
