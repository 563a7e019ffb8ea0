"""What is computed again when something changes, told by the count of forward passes."""

import threading
from dataclasses import replace

import pytest

from qbias import subject
from qbias.digests import json_digest
from qbias.passes import PASSES, Count
from qbias.protocol import Protocol
from qbias.subject import Subject
from tests.test_embed import Recorder
from tests.test_pixels import drawn

PROTOCOL = Protocol(batch_size=4)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("QBIAS_CACHE", str(tmp_path / "cache"))
    return drawn(tmp_path / "images", 10)


def passes(dataset, protocol=PROTOCOL, artifact="a"):
    """Rows that an evaluation sends through the model."""
    before = PASSES.now()
    Subject("model", lambda frame: None, Recorder(), artifact).embeddings(dataset, protocol)
    return PASSES.now() - before


def test_the_same_again_needs_no_forward_pass(dataset):
    assert passes(dataset) == Count(images=10, image_batches=3, texts=20, text_batches=5)
    assert passes(dataset) == Count()


def test_other_prompts_embed_texts_only(dataset):
    passes(dataset)
    texts = dataset.texts.assign(text=[f"another {text}" for text in dataset.texts["text"]])
    changed = replace(dataset, texts=texts, prompts_sha256=json_digest(list(texts["text"])))
    assert passes(changed) == Count(texts=20, text_batches=5)


def test_other_labels_and_other_choices_of_the_protocol_embed_nothing(dataset):
    passes(dataset)
    assert passes(replace(dataset, digest="other labels", images=dataset.images.assign(mood="calm"))) == Count()
    assert passes(dataset, replace(PROTOCOL, skew_k=3, facet_sign="signed")) == Count()


@pytest.mark.parametrize("changed", [{"protocol": replace(PROTOCOL, batch_size=5)}, {"artifact": "b"}])
def test_another_batch_size_or_model_embeds_everything(dataset, changed):
    passes(dataset)
    found = passes(dataset, **changed)
    assert (found.images, found.texts) == (10, 20)


def test_finished_embeddings_need_no_pixels(dataset):
    passes(dataset)
    for file in dataset.root.iterdir():
        file.unlink()
    for folder in (dataset.root.parent / "cache" / "pixels").iterdir():
        for file in folder.iterdir():
            file.unlink()
    assert passes(dataset) == Count()


def test_texts_are_embedded_while_images_are(dataset, monkeypatch):
    monkeypatch.setenv("QBIAS_WORKERS", "2")
    met = threading.Barrier(2)

    class Meeting(Recorder):
        def images(self, pixel_NRR3):
            if not self.batches:
                met.wait(timeout=20)
            return super().images(pixel_NRR3)

        def texts(self, texts):
            if len(texts) == 4 and not any(isinstance(row, str) for batch in self.batches for row in batch):
                met.wait(timeout=20)
            return super().texts(texts)

    image_ND, text_MD = Subject("model", lambda frame: None, Meeting(), "a").embeddings(dataset, PROTOCOL)
    assert (len(image_ND), len(text_MD)) == (10, 20)


def test_no_text_is_embedded_any_more_when_the_images_fail(dataset, monkeypatch):
    monkeypatch.setenv("QBIAS_WORKERS", "2")
    told = []

    class Told(threading.Event):
        def __init__(self):
            super().__init__()
            told.append(self)

    class Failing(Recorder):
        def images(self, pixel_NRR3):
            raise RuntimeError("the image tower is broken")

        def texts(self, texts):
            assert told[0].wait(timeout=20)
            return super().texts(texts)

    encoder = Failing()
    monkeypatch.setattr(subject, "Event", Told)
    with pytest.raises(RuntimeError, match="the image tower is broken"):
        Subject("model", lambda frame: None, encoder, "a").embeddings(dataset, PROTOCOL)
    assert len(encoder.batches) == 1, "the batch that had begun, and none of the other four"
