"""Zero-shot predictions for the same photographs and weights by two routes: open_clip's own code, and ours from the converted folder.

Shapes: N images, C classes, D embedding width, K top ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qbias.benchmarks.content import class_texts, finished, unfinished
from qbias.convert import convert
from qbias.embed import embed_images, embed_texts
from qbias.encoder import Encoder
from qbias.outcomes import outcomes_of
from qbias.pixels import pixels
from qbias.protocol import Protocol
from qbias.quantizers import QUANTIZERS
from tests.tiny_open_clip import save

BATCH = 64
TOP = 5


@dataclass(frozen=True)
class Predicted:
    """Unit image embeddings, the best classes of each image (best first), and the scores of all classes (theirs only)."""

    image_ND: np.ndarray
    top_NK: np.ndarray
    score_NC: np.ndarray


def reference_transform(model: Any) -> Any:
    """open_clip's evaluation transform for this model."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)


def reference_predictions(
    model: Any, architecture: str, transform: Any, paths: Sequence[Path], names: Sequence[str], templates: Sequence[str]
) -> Predicted:
    """What open_clip's zero-shot code predicts: its classifier, its tokenizer, its encoder, the five highest logits."""
    import open_clip
    import torch

    classifier_DC = open_clip.build_zero_shot_classifier(model, open_clip.get_tokenizer(architecture), names, templates)
    rows = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            batch = torch.stack([_prepared(path, transform) for path in paths[start : start + BATCH]])
            rows.append(model.encode_image(batch, normalize=True))
        image_ND = torch.cat(rows)
        score_NC = 100.0 * image_ND @ classifier_DC
        top_NK = score_NC.topk(TOP, dim=1).indices
    return Predicted(image_ND.numpy(), top_NK.numpy(), score_NC.numpy() / 100)


def _prepared(path: Path, transform: Any) -> Any:
    with Image.open(path) as image:
        return transform(image)


def converted_encoder(model: Any, architecture: str, folder: Path) -> Encoder:
    """The fp32 encoder of the model, converted and stored as a registered version stores it."""
    baseline = convert(architecture, save(model, folder / "drawn.safetensors"), folder / "baseline")
    QUANTIZERS["fp32"].save(baseline, folder / "fp32")
    return QUANTIZERS["fp32"].load(folder / "fp32")


def measured_predictions(encoder: Encoder, root: Path, paths: Sequence[Path], names: Sequence[str], templates: Sequence[str]) -> Predicted:
    """What is measured here: a classification dataset, canonical batches, outcomes."""
    files = [path.relative_to(root).as_posix() for path in paths]
    images = {"id": files, "path": files, "label": [0] * len(files), "label2": [-1] * len(files)}
    facts = {"classes": list(names), "templates": list(templates), "ks": [1, TOP], "pairs": [], "class2": "each"}
    texts = class_texts(names, templates)
    dataset = finished(unfinished("photographs", "classification", root, images, texts, facts), limit=None)
    pixel_NRR3 = pixels(dataset, encoder.preprocessing.resolution)
    image_ND = embed_images(encoder, pixel_NRR3, files, batch_size=BATCH, advance=lambda count: None)
    text_MD = embed_texts(encoder, texts["text"], batch_size=BATCH, advance=lambda count: None)
    frame = outcomes_of(dataset, image_ND, text_MD, Protocol()).frames["images"]
    return Predicted(image_ND, frame[[f"top_{rank}" for rank in range(1, TOP + 1)]].to_numpy(), np.empty((len(files), 0)))
