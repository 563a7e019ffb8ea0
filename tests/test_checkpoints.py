"""Checkpoints in every form that people have, damaged ones, tags, and downloads that fail."""

import pickle
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from qbias.checkpoints import Unreachable, fetch, local_checkpoint, placed, read_checkpoint, tag_facts
from tests.tiny_open_clip import drawn_model, register_tiny, save


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy", "training", "torchscript"])
def test_every_form_gives_the_same_tensors(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = drawn_model(register_tiny(monkeypatch))
    state = model.state_dict()
    file = tmp_path / "checkpoint.pt"
    if form == "safetensors":
        file = save(model, tmp_path / "checkpoint.safetensors")
    elif form == "torchscript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(model).save(file)
    elif form == "training":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=form == "zip")
    found = read_checkpoint(file)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.9999])
def test_a_truncated_file_is_named(suffix: str, keep: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model, file = drawn_model(register_tiny(monkeypatch)), tmp_path / f"cut{suffix}"
    if suffix == ".pt":
        torch.save(model.state_dict(), file)
    else:
        save(model, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ValueError, match=r"cut\.\w+ is (empty|truncated, damaged or not a table of tensors).*fetch it again"):
        read_checkpoint(file)


class Payload:
    """Unpickling this would write a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    import torch

    trace, file = tmp_path / "trace", tmp_path / "evil.pt"
    torch.save({"weight": torch.zeros(1), "extra": Payload(trace)}, file)
    with pytest.raises(ValueError, match=r"evil\.pt holds pickled code, which is never run: save its state_dict\(\) alone"):
        read_checkpoint(file)
    torch.save({"weight": torch.zeros(1), "extra": Payload(trace)}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"evil\.pt holds pickled code"):
        read_checkpoint(file)
    file.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(ValueError, match=r"evil\.pt is truncated") as caught:
        read_checkpoint(file)
    assert "weights_only" not in str(caught.value)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Payload(trace)))  # noqa: S301 (it would have worked)
    assert trace.exists()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2]])
def test_a_file_without_tensors_is_refused(content: object, tmp_path: Path) -> None:
    import torch

    torch.save(content, tmp_path / "empty.pt")
    with pytest.raises(ValueError, match="holds no tensors by name"):
        read_checkpoint(tmp_path / "empty.pt")


def test_facts_of_a_tag_and_of_a_file(tmp_path: Path) -> None:
    assert tag_facts("ViT-L-14", "laion2b_s32b_b82k", quick_gelu=False)["mean"] == (0.5, 0.5, 0.5)
    (tmp_path / "own.pt").touch()
    assert tag_facts("ViT-L-14", str(tmp_path / "own.pt"), quick_gelu=False) == {}


def test_an_unknown_tag_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'laion3b' is neither a tag of ViT-B-16 nor a file .*laion2b_s34b_b88k"):
        tag_facts("ViT-B-16", "laion3b", quick_gelu=False)


@pytest.mark.parametrize(
    ("architecture", "quick_gelu", "remedy"),
    [("ViT-B-32", False, "name ViT-B-32-quickgelu instead"), ("ViT-B-32-quickgelu", True, "name ViT-B-32 instead")],
)
def test_a_tag_trained_with_the_other_activation_is_refused(
    architecture: str, quick_gelu: bool, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import pretrained

    # open_clip itself lists only tags with quick_gelu under a -quickgelu name: one without is added
    tags = dict(pretrained._PRETRAINED[architecture], plain=pretrained._pcfg(hf_hub="a/b/"))
    monkeypatch.setitem(pretrained._PRETRAINED, architecture, tags)
    with pytest.raises(ValueError, match=remedy):
        tag_facts(architecture, "plain" if quick_gelu else "openai", quick_gelu=quick_gelu)


def test_a_tag_with_another_resizing_is_refused() -> None:
    with pytest.raises(ValueError, match="resizes by bicubic, squash"):
        tag_facts("ViT-H-14-quickgelu", "dfn5b", quick_gelu=True)


def test_a_failed_download_says_how_to_place_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    facts = tag_facts("ViT-B-32", "laion2b_s34b_b79k", quick_gelu=False)
    with pytest.raises(Unreachable, match=r"laion/CLIP-ViT-B-32-laion2B-s34B-b79K.*model=open_clip:ViT-B-32:/path/to"):
        fetch("ViT-B-32", "laion2b_s34b_b79k", facts)


def test_local_files_are_told_from_tags_by_their_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("openai").touch()
    Path("own.bin").touch()
    assert local_checkpoint("openai") is None
    assert local_checkpoint("own.bin") == Path("own.bin")
    Path("folder.pt").mkdir()
    Path("own.zip").touch()
    for word, said in {
        "missing.bin": "there is no file missing.bin",
        "./missing": "there is no file missing",
        "folder.pt": "folder.pt is a folder: give the checkpoint file itself",
        str(tmp_path): "is a folder",
        str(tmp_path / "own.zip"): r"own.zip ends in none of .safetensors",
    }.items():
        with pytest.raises(ValueError, match=said):
            local_checkpoint(word)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt", ".pth"])
def test_a_placed_file_is_found_by_the_models_name(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path))
    assert placed("clip-a.b") is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"clip-a.b{suffix}").touch()
    assert placed("clip-a.b") == tmp_path / "checkpoints" / f"clip-a.b{suffix}"
    (tmp_path / "checkpoints" / f"clip-c{suffix}").mkdir()
    with pytest.raises(ValueError, match=rf"clip-c{suffix} is a folder"):
        placed("clip-c")


class Answer(BaseHTTPRequestHandler):
    """Answers every request with the status in its path; 200 promises a hundred bytes and sends ten."""

    def do_GET(self) -> None:
        """One answer."""
        status = int(self.path.split("/")[1])
        self.send_response(status)
        self.send_header("Content-Length", "100" if status == 200 else "0")
        self.send_header("X-Error-Code", {401: "GatedRepo", 403: "GatedRepo", 404: "EntryNotFound"}.get(status, ""))
        self.end_headers()
        if status == 200:
            self.wfile.write(b"x" * 10)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    """A server on loopback that answers as a hub does when it will not or cannot."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_download_says_how_to_place_the_file(status: int, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import reset_sessions

    reset_sessions()  # a session that a test made offline stays offline
    for name, value in {"HF_HUB_CACHE": str(tmp_path), "ENDPOINT": f"{address}/{status}", "HF_HUB_OFFLINE": False}.items():
        monkeypatch.setattr(constants, name, value)
    template = f"{address}/{status}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HOME", str(tmp_path))
    for facts, words in (
        ({"hf_hub": "org/model/"}, f"{status} Client Error"),
        ({"url": f"{address}/{status}/weights.pt"}, f"HTTP Error {status}"),
    ):
        remedy = "accept their terms .* on another machine and give it as model=open_clip:ViT-X:/path/to/checkpoint.safetensors"
        with pytest.raises(Unreachable, match=rf"(?i)could not download .*{words}.*{remedy}"):
            fetch("ViT-X", "drawn", facts)


def test_a_download_that_breaks_off_is_named_and_can_be_repeated(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = fetch("ViT-X", "drawn", {"url": f"{address}/200/weights.pt"})
    with pytest.raises(ValueError, match=rf"{file} is truncated, damaged .*delete it and fetch it again"):
        read_checkpoint(file)


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unreachable, match=r"refused.*fetch the file on another machine"):
        fetch("ViT-X", "drawn", {"url": "http://127.0.0.1:9/weights.pt"})
