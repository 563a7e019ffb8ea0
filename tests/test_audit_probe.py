"""qbias.audit.probe: the same images and texts each time, and a digest that says so."""

import numpy as np

from qbias.audit.probe import ITEMS, probe


def test_the_probe_is_fixed() -> None:
    first = probe(32)
    probe.cache_clear()
    again = probe(32)
    assert again is not first
    assert (again.digest, again.texts) == (first.digest, first.texts)
    assert np.array_equal(again.pixel_NRR3, first.pixel_NRR3)
    assert (first.pixel_NRR3.shape, first.pixel_NRR3.dtype) == ((ITEMS, 32, 32, 3), np.uint8)


def test_another_resolution_shows_the_same_scenes_and_is_another_probe() -> None:
    small, large = probe(32), probe(64)
    assert small.texts == large.texts
    assert small.digest != large.digest
    shrunk = large.pixel_NRR3.reshape(ITEMS, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    apart = np.abs(shrunk[:, None] - small.pixel_NRR3[None]).mean(axis=(2, 3, 4))
    assert (apart.argmin(axis=1) == np.arange(ITEMS)).mean() > 0.9


def test_images_and_texts_all_differ_and_nobody_can_change_them() -> None:
    shown = probe(32)
    assert len({image.tobytes() for image in shown.pixel_NRR3}) == ITEMS
    assert len(set(shown.texts)) == ITEMS
    assert not shown.pixel_NRR3.flags.writeable
