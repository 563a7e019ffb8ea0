"""The fixed probe set: 64 drawn scenes and 64 sentences, the same for every model of one resolution.

Drawn robots, so that an audit needs no data set; half of the sentences are prompts of the skew benchmark, half describe scenes. Drift on
them says how far a candidate moved, not how well it does on anyone's images.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qbias.benchmarks.prompts import OXAI319
from qbias.digests import bytes_digest, json_digest
from qbias.encoder import Pixels
from qbias.toyworld.captions import description
from qbias.toyworld.draw import picture
from qbias.toyworld.worlds import training_scene

VERSION = 1
"""Raised when the probe becomes another one: audits are comparable where version and digest agree."""
ITEMS = 64
STREAM = 13_000
"""Of random numbers: apart from those of training, checks and evaluation worlds."""


@dataclass(frozen=True)
class Probe:
    """Images (N, R, R, 3) uint8 as a model sees them, N texts, and the sha256 over both; `version` is VERSION."""

    pixel_NRR3: Pixels
    texts: tuple[str, ...]
    digest: str
    version: int = VERSION


@lru_cache(maxsize=2)
def probe(resolution: int) -> Probe:
    """The probe set for models that take squares of `resolution` pixels.

    Scenes are drawn at that size, so nothing is resized. Pillow may draw otherwise in another release; the digest then differs.
    """
    rng = np.random.default_rng([0, STREAM])
    scenes = [training_scene("balanced", rng) for _ in range(ITEMS)]
    # A generator for each picture: how many numbers a picture takes must not depend on its size.
    drawn = [
        np.asarray(picture(scene, np.random.default_rng([i, STREAM]), size=(resolution, resolution))) for i, scene in enumerate(scenes)
    ]
    sentences = dict.fromkeys(description(scene, rng) for scene in scenes)
    prompts = OXAI319.prompts[:: len(OXAI319.prompts) // (ITEMS // 2)][: ITEMS // 2]
    texts = (*prompts, *(text for text in sentences if text not in prompts))[:ITEMS]
    assert len(set(texts)) == ITEMS, "the probe's texts must differ"
    pixel_NRR3 = np.stack(drawn)
    pixel_NRR3.flags.writeable = False
    return Probe(pixel_NRR3, texts, json_digest([VERSION, bytes_digest(pixel_NRR3.tobytes()), list(texts)]))
