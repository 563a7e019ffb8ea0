"""What every row shares: tokenizer, normalisation, unit rows, coverage, and the Encoder of a transformers CLIPModel.

Texts are padded to the context length and no padding mask is passed: attention is causal, so the end token, from which a text's
embedding is read, never sees the padding. This is how the models were trained.
Shapes: N rows in the batch, R resolution, D embedding width, T token context.
"""

import json
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qbias.encoder import Pixels, Preprocessing, Rows
from qbias.quantizers.artifact import CONFIG, Card, Coverage
from qbias.quantizers.transfer import Loaded, Started, arrived, on_its_way, sent, waited_for

if TYPE_CHECKING:
    import torch


class Tokenizer:
    """Texts -> (N, T) token numbers, padded and cut to the context length."""

    def __init__(self, folder: Path, context: int) -> None:
        """Read the tokenizer files of a model folder."""
        from transformers import CLIPTokenizerFast

        self._tokenizer = CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
        self._context = context

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Token numbers of `texts`, a row each; the end token is kept when a text is cut."""
        wrong = [number for number, text in enumerate(texts) if not isinstance(text, str)]
        if wrong:
            raise ValueError(f"text {wrong[0]} is {texts[wrong[0]]!r}, not a string")
        rows = self._tokenizer(list(texts), padding="max_length", max_length=self._context, truncation=True)["input_ids"]
        return np.asarray(rows, dtype=np.int64).reshape(len(texts), self._context)


class TorchEncoder:
    """The Encoder of a transformers CLIPModel, whatever its linear layers have become."""

    def __init__(self, model: Any, folder: Path, card: Card) -> None:
        """Take a loaded model and the folder it came from."""
        self.model = model.eval()
        self._device = model.device
        self.folder = folder
        self._tokenizer = Tokenizer(folder, card.context_length)
        self.preprocessing = card.preprocessing
        self.width = int(model.config.projection_dim)

    @property
    def staged(self) -> bool:
        """Whether loading, computing and waiting are worth taking one by one: on a GPU, which computes while its caller does not wait."""
        return str(self._device.type) == "cuda"

    def images(self, pixel_NRR3: Pixels) -> Rows:
        """(N, R, R, 3) uint8 pixels, resized and cropped -> (N, D) float32 rows of length 1."""
        if not len(check_pixels(pixel_NRR3, self.preprocessing)):
            return np.empty((0, self.width), np.float32)
        return self.finished(self.start_images(self.load_images(pixel_NRR3)))

    def texts(self, texts: Sequence[str]) -> Rows:
        """N texts, padded to the context length T -> (N, D) float32 rows of length 1."""
        if not len(texts):
            return np.empty((0, self.width), np.float32)
        return self.finished(self.start_texts(self.load_texts(texts)))

    def load_images(self, pixel_NRR3: Pixels) -> Loaded:
        """Begin to copy the pixels to the device, as bytes: a quarter of what float32 would take."""
        import torch

        return sent(torch.from_numpy(np.ascontiguousarray(check_pixels(pixel_NRR3, self.preprocessing))), self._device)

    def load_texts(self, texts: Sequence[str]) -> Loaded:
        """Begin to copy the tokens to the device."""
        import torch

        return sent(torch.from_numpy(self._tokenizer(texts)), self._device)

    def start_images(self, loaded: Loaded) -> Started:
        """Queue normalisation, the image tower and the way back."""
        import torch

        with torch.inference_mode():
            pixels = normalised(arrived(loaded), self.preprocessing)
            return on_its_way(self.model.get_image_features(pixel_values=pixels))

    def start_texts(self, loaded: Loaded) -> Started:
        """Queue the text tower and the way back."""
        import torch

        with torch.inference_mode():
            return on_its_way(self.model.get_text_features(input_ids=arrived(loaded)))

    def finished(self, started: Started) -> Rows:
        """Wait for the features, and divide them by their lengths."""
        return unit_rows(waited_for(started))


def check_pixels(pixel_NRR3: Pixels, preprocessing: Preprocessing) -> Pixels:
    """The pixels themselves, or a ValueError that says which shape is expected."""
    side = preprocessing.resolution
    if pixel_NRR3.dtype != np.uint8 or pixel_NRR3.shape[1:] != (side, side, 3):
        raise ValueError(
            f"pixels are {pixel_NRR3.dtype} {pixel_NRR3.shape}, the model takes uint8 (N, {side}, {side}, 3): "
            "use qbias.preprocess.crop with the model's resolution"
        )
    return pixel_NRR3


def normalised(pixel_NRR3: "Pixels | torch.Tensor", preprocessing: Preprocessing) -> "torch.Tensor":
    """(x / 255 - mean) / std as (N, 3, R, R) float32 where the pixels are, bit-equal to torchvision's ToTensor and Normalize."""
    import torch

    pixels = pixel_NRR3 if isinstance(pixel_NRR3, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(pixel_NRR3))
    pixels = pixels.permute(0, 3, 1, 2)
    # By a tensor and not by a number: a GPU would multiply by 1 / 255, which is another one in the last bit.
    most, *three = (torch.tensor(value, device=pixels.device) for value in (255.0, preprocessing.mean, preprocessing.std))
    mean, std = (value.view(1, 3, 1, 1) for value in three)
    # Widened and laid out anew in one pass.
    out = torch.empty(pixels.shape, dtype=torch.float32, device=pixels.device).copy_(pixels)
    return out.div_(most).sub_(mean).div_(std)


def unit_rows(feature_ND: "torch.Tensor") -> Rows:
    """Rows divided by their length.

    Raises
    ------
    ValueError
        If a row is not finite or has no direction: nothing can be measured with it.
    """
    import torch

    rows = feature_ND.to("cpu", torch.float32)
    rows = rows / rows.norm(dim=-1, keepdim=True)
    broken = int((~torch.isfinite(rows).all(dim=-1)).sum())
    if broken:
        raise ValueError(f"{broken} of {len(rows)} embeddings are not finite: this model does not work at this precision")
    found: Rows = rows.numpy()
    return found


def load_clip(folder: Path, **options: Any) -> Any:
    """The CLIPModel of a local folder, in float32 whatever precision its file stores; `options` go to transformers."""
    import torch
    from transformers import CLIPModel

    fixed = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True, "attn_implementation": "sdpa"}
    return CLIPModel.from_pretrained(folder, **(fixed | options))


def drawn_nothing(folder: Path) -> Any:
    """The CLIPModel that a folder's config.json describes, in memory, before any value is set."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.modeling_utils import no_init_weights

    config = CLIPConfig.from_pretrained(folder, local_files_only=True, attn_implementation="sdpa")
    with no_init_weights():
        return CLIPModel(config)


def empty_clip(folder: Path) -> Any:
    """The CLIPModel that a folder's config.json describes, without weights: names and shapes only."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        return CLIPModel(config)


def linear_layers(baseline: Path) -> dict[str, int]:
    """Name of every linear layer of a CLIPModel folder, and the entries of its matrix."""
    import torch

    modules = empty_clip(baseline).named_modules()
    return {name: module.weight.numel() for name, module in modules if isinstance(module, torch.nn.Linear)}


def clip_coverage(baseline: Path, quantized: Collection[str]) -> Coverage:
    """Coverage of a CLIPModel whose linear layers named `quantized` were replaced."""
    linears = linear_layers(baseline)
    assert set(quantized) <= linears.keys(), "a quantized layer that the baseline lacks"
    return Coverage(
        quantized=len(quantized),
        total=len(linears),
        parameters_quantized=sum(linears[name] for name in quantized),
        parameters_total=sum(parameter.numel() for parameter in empty_clip(baseline).parameters()),
        kept_float=tuple(name for name in linears if name not in quantized),
    )


def context_length(folder: Path) -> int:
    """T of a model folder: the number of text positions."""
    text: dict[str, Any] = json.loads((folder / CONFIG).read_text()).get("text_config", {})
    return int(text.get("max_position_embeddings", 77))


def write_tokenizer(baseline: Path, out: Path) -> None:
    """Write the baseline's tokenizer to `out` in its fast form.

    Raises
    ------
    ValueError
        If its files are missing or damaged, or it makes tokens that the model has no embedding for.
    """
    from transformers import CLIPTokenizerFast

    try:
        tokenizer = CLIPTokenizerFast.from_pretrained(baseline, local_files_only=True)
    except Exception as error:  # the library raises whatever a damaged file makes it trip over
        raise ValueError(
            f"{baseline} has no tokenizer that can be read ({type(error).__name__}: {error}): it needs tokenizer.json, or vocab.json "
            "and merges.txt, of its model"
        ) from error
    words = int(empty_clip(baseline).config.text_config.vocab_size)
    if (last := max(tokenizer.get_vocab().values())) >= words:
        raise ValueError(f"{baseline}: the tokenizer numbers its tokens up to {last}, the model has {words}: fetch both from one place")
    tokenizer.save_pretrained(out)


def missing_packages(packages: Collection[str]) -> str:
    """What to install before `packages` are all there; empty if they are."""
    missing = []
    for name in packages:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    verb = "is" if len(missing) == 1 else "are"
    return f"{', '.join(missing)} {verb} not installed: pip install {' '.join(missing)}" if missing else ""


def installed_versions(packages: Collection[str]) -> dict[str, str]:
    """Version of each distribution, without a local part such as `+cpu`.

    Raises
    ------
    ValueError
        If one is not installed: the quantizer cannot run here.
    """
    if missing := missing_packages(packages):
        raise ValueError(missing)
    return {name: version(name).partition("+")[0] for name in packages}
