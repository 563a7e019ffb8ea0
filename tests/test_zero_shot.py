"""Zero-shot predictions equal those of open_clip's own code on the same weights, for images of many modes; and unequal code is noticed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qbias.benchmarks.imagenet import imagenet_names
from tests.test_preprocess import drawn, encoded
from tests.tiny_open_clip import drawn_model, register_tiny
from tests.zero_shot import Predicted, converted_encoder, measured_predictions, reference_predictions, reference_transform

MODES = (
    ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"),
    ("I;16", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"),
)  # fmt: skip
SIZES = ((64, 64), (67, 101), (200, 90), (30, 20))
NAMES = imagenet_names()[1][:20]
TEMPLATES = ("a photo of a {}.", "itap of a {}.", "art of the {}.")
NEAR = 1e-5
"""Scores closer than this could change places by the order of float sums; rounding moves them by 1e-7."""


@dataclass(frozen=True)
class Study:
    """Images on disk, an open_clip model with drawn weights, and what was measured of its converted form."""

    architecture: str
    model: Any
    paths: list[Path]
    measured: Predicted

    def reference(self, *, model: Any = None, transform: Any = None, templates: tuple[str, ...] = TEMPLATES) -> Predicted:
        chosen, preparation = model or self.model, transform or reference_transform(self.model)
        return reference_predictions(chosen, self.architecture, preparation, self.paths, NAMES, templates)

    def other_crop(self, **changes: Any) -> Predicted:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        settings = replace(PreprocessCfg(**self.model.visual.preprocess_cfg), **changes)
        return self.reference(transform=image_transform_v2(settings, is_train=False))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("zero-shot")
    paths = []
    for row, (mode, kind) in enumerate(MODES):
        for column, size in enumerate(SIZES):
            # Few coarse patches, so that the images differ after they were made small.
            patches = drawn(mode, (4 + column, 3 + row)).resize(size)
            paths.append(folder / f"{row}-{column}.{kind.lower()}")
            paths[-1].write_bytes(encoded(patches, kind))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        architecture = f"{register_tiny(patch)}-quickgelu"
        model = drawn_model(architecture)
        encoder = converted_encoder(model, architecture, folder)
        yield Study(architecture, model, paths, measured_predictions(encoder, folder, paths, NAMES, TEMPLATES))


def test_the_five_best_classes_equal_open_clips(study: Study) -> None:
    theirs = study.reference()
    best_first = -np.sort(-theirs.score_NC, axis=1)
    assert np.min(best_first[:, :5] - best_first[:, 1:6]) > NEAR, "no near tie among the images, so every place is certain"
    assert len(set(theirs.top_NK[:, 0])) >= 5, "several classes are predicted"
    np.testing.assert_array_equal(study.measured.top_NK, theirs.top_NK)
    np.testing.assert_allclose(study.measured.image_ND, theirs.image_ND, atol=1e-6)


def without_normalisation(study: Study) -> Predicted:
    """Templates averaged at the lengths at which the text tower gives them."""

    def encode_text(tokens: Any, normalize: bool) -> Any:
        return study.model.encode_text(tokens)

    return study.reference(model=SimpleNamespace(encode_text=encode_text, encode_image=study.model.encode_image))


def colours_first(study: Study) -> Predicted:
    """Images made RGB before they are resized, as transformers' image processor does."""
    theirs = reference_transform(study.model)
    return study.reference(transform=lambda image: theirs(image.convert("RGB")))


def other_activation(study: Study) -> Predicted:
    """The same weights with gelu in place of quick_gelu."""
    return study.reference(model=drawn_model(study.architecture.removesuffix("-quickgelu")))


@pytest.mark.parametrize(
    "variant",
    [
        without_normalisation,
        colours_first,
        other_activation,
        lambda study: study.other_crop(resize_mode="squash"),
        lambda study: study.other_crop(interpolation="bilinear"),
        lambda study: study.other_crop(mean=(0.5,) * 3, std=(0.5,) * 3),
        lambda study: study.reference(templates=TEMPLATES[:2]),
    ],
    ids=["lengths", "colours first", "activation", "squash", "bilinear", "mean and std", "two templates"],
)
def test_other_code_predicts_otherwise(study: Study, variant: Callable[[Study], Predicted]) -> None:
    assert (variant(study).top_NK != study.measured.top_NK).any()
