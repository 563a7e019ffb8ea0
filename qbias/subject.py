"""The model under evaluation: ours through its Encoder with every finished step kept, anyone else's through `predict`.

Shapes: N images, M texts, D embedding width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from qbias.contract import Predict, predict_images, predict_texts
from qbias.embed import embed_images, embed_texts, stored_embeddings
from qbias.encoder import Encoder, Rows
from qbias.environment import machine_facts
from qbias.pixels import Advance, pixels, usable
from qbias.protocol import Protocol
from qbias.records import Dataset

BAR_DELAY_S = 2.0
"""A progress bar appears only when a step takes longer than this."""


@dataclass(frozen=True)
class Subject:
    """A model that keeps the contract of contract.py.

    Attributes
    ----------
    title : its name in progress bars.
    predict : what it answers to a DataFrame.
    encoder, artifact : what our own models hand out besides, the fast way to the same rows and the digest of what they are made of.
    """

    title: str
    predict: Predict
    encoder: Encoder | None = None
    artifact: str = ""

    def check_images(self, dataset: Dataset) -> None:
        """Decode every image, once; our own models keep the pixels, which they need anyway.

        Raises
        ------
        ValueError
            If images cannot be decoded, listing all of them.
        """
        with _bar(f"{self.title} {dataset.benchmark}: decoding", len(dataset.images), "img") as advance:
            if self.encoder is None:
                usable(dataset, on_bad_image="fail", advance=advance)
            else:
                pixels(dataset, self.encoder.preprocessing.resolution, advance=advance)

    def embeddings(self, dataset: Dataset, protocol: Protocol) -> tuple[Rows, Rows]:
        """(N, D) and (M, D) unit rows of every image (dataset order) and text (list order).

        Our own models' are found by content where they were computed before. A progress bar shows what takes more than two seconds.
        """
        self.check_images(dataset)
        if self.encoder is None:
            return self._predicted(dataset, protocol)
        return self.images(dataset, protocol), self.texts(dataset, protocol)

    def images(self, dataset: Dataset, protocol: Protocol) -> Rows:
        """(N, D) unit rows of every image, through the Encoder."""
        encoder, ids = self._encoder, list(dataset.images["id"])

        def compute() -> Rows:
            with _bar(f"{self.title} {dataset.benchmark}", len(ids), "img") as advance:
                pixel_NRR3 = pixels(dataset, encoder.preprocessing.resolution)
                return embed_images(encoder, pixel_NRR3, ids, batch_size=protocol.batch_size, advance=advance)

        return stored_embeddings("images", self._facts(protocol) | {"dataset": dataset.digest}, compute)

    def texts(self, dataset: Dataset, protocol: Protocol) -> Rows:
        """(M, D) unit rows of every text, through the Encoder."""
        encoder, texts = self._encoder, list(dataset.texts["text"])

        def compute() -> Rows:
            with _bar(f"{self.title} {dataset.benchmark}", len(texts), "text") as advance:
                return embed_texts(encoder, texts, batch_size=protocol.batch_size, advance=advance)

        return stored_embeddings("texts", self._facts(protocol) | {"prompts": dataset.prompts_sha256}, compute)

    @property
    def _encoder(self) -> Encoder:
        assert self.encoder is not None, "only our own models hand out their Encoder"
        return self.encoder

    def _facts(self, protocol: Protocol) -> dict[str, object]:
        """All that embeddings depend on besides the images or texts."""
        return {"artifact": self.artifact, "batch_size": protocol.batch_size, "machine": machine_facts()}

    def _predicted(self, dataset: Dataset, protocol: Protocol) -> tuple[Rows, Rows]:
        """Through `predict` alone; nothing is kept, because nobody can say what such a model depends on."""
        paths, ids = [dataset.root / path for path in dataset.images["path"]], list(dataset.images["id"])
        size = protocol.batch_size
        with _bar(f"{self.title} {dataset.benchmark}", len(ids), "img") as advance:
            image_ND = predict_images(self.predict, paths, ids, batch_size=size, advance=advance)
        return image_ND, predict_texts(self.predict, list(dataset.texts["text"]), batch_size=size)


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    """A progress bar on a terminal, for a step that takes longer than BAR_DELAY_S."""
    with tqdm(total=total, desc=title, unit=unit, delay=BAR_DELAY_S, leave=False, disable=None) as bar:
        yield bar.update
