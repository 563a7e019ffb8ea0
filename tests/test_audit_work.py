"""qbias.audit.work: multiply-adds by hand, and as a real forward pass does them."""

from pathlib import Path

import numpy as np
import torch

from qbias.audit.work import tower_of, work_of
from qbias.quantizers.torch_encoder import load_clip
from tests.tiny import CONTEXT, RESOLUTION

CONFIG = {
    "vision_config": {"image_size": 4, "patch_size": 2, "hidden_size": 3, "num_hidden_layers": 2, "num_channels": 3},
    "text_config": {"max_position_embeddings": 7, "hidden_size": 5, "num_hidden_layers": 1},
}


def test_work_by_hand() -> None:
    work = work_of({"vision_model.a": (3, 4), "visual_projection": (3, 2), "text_model.b": (5, 6), "text_projection": (5, 2)}, CONFIG)
    # Four patches and the class token; seven text tokens; one token for each projection.
    assert work.linears == {"vision_model.a": 60, "visual_projection": 6, "text_model.b": 210, "text_projection": 10}
    assert work.rest == {"image": 2 * 25 * 3 * 2 + 4 * 3 * 4 * 3, "text": 2 * 49 * 5}
    assert (work.total("image"), work.total("text")) == (60 + 6 + 300 + 144, 210 + 10 + 490)
    assert (work.covered("image", {"vision_model.a", "text_model.b"}), work.covered("text", set())) == (60, 0)


def test_every_linear_does_what_the_count_says(tiny: Path) -> None:
    model = load_clip(tiny).eval()
    linears = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    done: dict[str, int] = {}
    for name, module in linears.items():
        module.register_forward_hook(
            lambda own, given, _, name=name: done.update({name: given[0].numel() // own.in_features * own.weight.numel()})
        )
    with torch.inference_mode():
        model.get_image_features(pixel_values=torch.zeros(1, 3, RESOLUTION, RESOLUTION))
        model.get_text_features(input_ids=torch.from_numpy(np.full((1, CONTEXT), model.config.text_config.eos_token_id)))
    work = work_of({name: (module.in_features, module.out_features) for name, module in linears.items()}, model.config.to_dict())
    assert done == work.linears
    assert {tower_of(name) for name in linears if "vis" in name} == {"image"}
