"""How many rows went through a model in this process: what tests and benches read to see that nothing was embedded twice."""

import threading
from dataclasses import dataclass
from typing import Literal

Tower = Literal["images", "texts"]


@dataclass(frozen=True)
class Count:
    """Rows that were embedded, and the batches (forward passes) that they were in."""

    images: int = 0
    image_batches: int = 0
    texts: int = 0
    text_batches: int = 0

    def __sub__(self, before: "Count") -> "Count":
        return Count(
            self.images - before.images,
            self.image_batches - before.image_batches,
            self.texts - before.texts,
            self.text_batches - before.text_batches,
        )


class Passes:
    """The count so far; it only grows, so callers take the difference of two."""

    def __init__(self) -> None:
        self._count = Count()
        self._lock = threading.Lock()

    def now(self) -> Count:
        """The count of this process so far."""
        return self._count

    def add(self, tower: Tower, rows: int) -> None:
        """One forward pass over so many rows."""
        with self._lock:
            old = self._count
            if tower == "images":
                self._count = Count(old.images + rows, old.image_batches + 1, old.texts, old.text_batches)
            else:
                self._count = Count(old.images, old.image_batches, old.texts + rows, old.text_batches + 1)


PASSES = Passes()
"""Of this process."""
