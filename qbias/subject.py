"""The model under evaluation: ours through its Encoder with every finished step kept, anyone else's through `predict`.

Shapes: N images, M texts, D embedding width.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import numpy as np
from tqdm import tqdm

from qbias.benchmarks.content import canonical_order
from qbias.contract import Predict, predict_images, predict_texts
from qbias.decode import Advance
from qbias.embed import each_once
from qbias.embedding_store import StoredRows
from qbias.encoder import Encoder, Rows
from qbias.engines import LOCAL, Engine, Model, Source
from qbias.environment import batch_workers, machine_facts
from qbias.pixel_store import images_key
from qbias.pixels import pixels, usable
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
    source : from what another process makes the same encoder. engine : where batches are computed; it changes no result.
    """

    title: str
    predict: Predict
    encoder: Encoder | None = None
    artifact: str = ""
    source: Source | None = None
    engine: Engine = LOCAL

    def check_images(self, dataset: Dataset, protocol: Protocol | None = None) -> None:
        """Decode every image, once; our own models keep the pixels, which they need anyway.

        Parameters
        ----------
        protocol : where it is given, and the images were all embedded under it before, nothing needs to be decoded.

        Raises
        ------
        ValueError
            If images cannot be decoded, listing all of them, or there is no room for their pixels.
        """
        if self.encoder is not None and protocol is not None and not self._image_rows(dataset, protocol).batches_missing:
            return
        with _bar(f"{self.title} {dataset.benchmark}: decoding", len(dataset.images), "img") as advance:
            if self.encoder is None:
                usable(dataset, on_bad_image="fail", advance=advance)
            else:
                pixels(dataset, self.encoder.preprocessing.resolution, advance=advance)

    def embeddings(self, dataset: Dataset, protocol: Protocol) -> tuple[Rows, Rows]:
        """(N, D) and (M, D) unit rows of every image (dataset order) and text (list order).

        Our own models' are found by content where they were computed before. A progress bar shows what takes more than two seconds.
        """
        self.check_images(dataset, protocol)
        if self.encoder is None:
            return self._predicted(dataset, protocol)
        if self.engine is not LOCAL or batch_workers() == 1:
            return self.images(dataset, protocol), self.texts(dataset, protocol)
        # Few texts are one batch, which keeps one core busy: the images' batches have the others meanwhile, and the towers share nothing.
        stop = Event()
        with ThreadPoolExecutor(1) as beside:
            texts = beside.submit(self.texts, dataset, protocol, stop)
            try:
                return self.images(dataset, protocol), texts.result()
            except BaseException:
                stop.set()
                raise

    def images(self, dataset: Dataset, protocol: Protocol, *, ids: Sequence[str] | None = None) -> Rows:
        """(N, D) unit rows of every image, through the Encoder."""
        return self.stored_images(dataset, protocol, ids=ids).all()

    def stored_images(self, dataset: Dataset, protocol: Protocol, *, ids: Sequence[str] | None = None) -> StoredRows:
        """The rows of every image on disk, to be read chunk by chunk; computed where they are not there.

        Parameters
        ----------
        ids : names by which images are put into batches, in place of their own.
        """
        names = list(dataset.images["id"]) if ids is None else list(ids)
        stored = self._image_rows(dataset, protocol, ids)
        with _bar(f"{self.title} {dataset.benchmark}", len(stored), "img") as advance:
            return stored.complete(self.engine.image_run(self._model, dataset, canonical_order(names)), advance)

    def texts(self, dataset: Dataset, protocol: Protocol, stop: Event | None = None) -> Rows:
        """(M, D) unit rows of every text, through the Encoder; each distinct one is embedded once, in batches of its own list.

        Parameters
        ----------
        stop : when it is set, nobody waits for the rows any more, and no further batch is begun.

        Raises
        ------
        CancelledError
            If it was.
        """

        def embed(distinct: Sequence[str]) -> Rows:
            stored = self._text_rows(dataset, protocol, distinct)
            with _bar(f"{self.title} {dataset.benchmark}", len(distinct), "text") as advance:

                def wanted(count: int) -> None:
                    if stop is not None and stop.is_set():
                        raise CancelledError
                    advance(count)

                return stored.complete(self.engine.text_run(self._model, distinct), wanted).all()

        return each_once(list(dataset.texts["text"]), embed)

    def missing(self, dataset: Dataset, protocol: Protocol, *, ids: Sequence[str] | None = None) -> tuple[int, int]:
        """How many batches of images and of texts are still to be computed, by what lies in the cache; nothing is."""
        distinct = list(dict.fromkeys(dataset.texts["text"]))
        return self._image_rows(dataset, protocol, ids).batches_missing, self._text_rows(dataset, protocol, distinct).batches_missing

    def _text_rows(self, dataset: Dataset, protocol: Protocol, distinct: Sequence[str]) -> StoredRows:
        return StoredRows(
            "texts",
            self._facts(protocol) | {"texts": list(distinct)},
            np.arange(len(distinct)),
            width=self._encoder.width,
            batch_size=protocol.batch_size,
            what=f"the text embeddings of {self.title} on {dataset.benchmark}",
        )

    def _image_rows(self, dataset: Dataset, protocol: Protocol, ids: Sequence[str] | None = None) -> StoredRows:
        names = list(dataset.images["id"]) if ids is None else list(ids)
        order_N = canonical_order(names)
        return StoredRows(
            "images",
            self._facts(protocol) | {"images": images_key(dataset), "order": [names[row] for row in order_N]},
            order_N,
            width=self._encoder.width,
            batch_size=protocol.batch_size,
            what=f"the image embeddings of {self.title} on {dataset.benchmark}",
        )

    @property
    def _encoder(self) -> Encoder:
        assert self.encoder is not None, "only our own models hand out their Encoder"
        return self.encoder

    @property
    def _model(self) -> Model:
        return Model(self.title, self._encoder, self.source)

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
