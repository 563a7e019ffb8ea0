"""ort-int8: ONNX Runtime's dynamic quantization, through optimum, of two exported graphs (images, texts).

Every product with a constant matrix becomes MatMulInteger: weights int8, symmetric, one scale per matrix; activations uint8 with one
range for the whole *batch*, so every result depends on what shares the batch. Attention products, patch convolution, token
embedding, layer norms and biases stay float32 (the library's default would take in the first three too; that would be another row).
Stored: vision.onnx and text.onnx with the integers in them, and the fixed context length; only the batch size is open.
Threads: as many as torch uses (logged with every run as `threads`), pinned when the Encoder is made.
Without VNNI instructions, ONNX Runtime adds pairs of 8-bit products in 16 bits, which can saturate: a reason why the CPU's capability is
compared when runs are paired. `reduce_range` would avoid it at the price of one bit.
"""

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qbias.encoder import Encoder, Pixels, Rows
from qbias.quantizers.artifact import Card, Coverage
from qbias.quantizers.torch_encoder import Tokenizer, check_pixels, context_length, empty_clip, normalised, unit_rows

TOWERS = {"vision": ("pixel_values", "image_embeds"), "text": ("input_ids", "text_embeds")}
"""Graph name -> its one input and its one output."""
SETTINGS: Mapping[str, Any] = {
    "opset": 17,
    "operators_to_quantize": ["MatMul"],
    "constant_weights_only": True,
    "per_channel": False,
    "weight_type": "QInt8",
    "weights_symmetric": True,
    "activation_type": "QUInt8",
    "activations_symmetric": False,
    "reduce_range": False,
}


def write(baseline: Path, out: Path, settings: Mapping[str, Any]) -> Coverage:
    """Export both towers, quantize them, and count the products that were reached."""
    from transformers import CLIPConfig

    config = CLIPConfig.from_pretrained(baseline, local_files_only=True)
    config.save_pretrained(out)
    products: dict[str, int] = {}
    quantized: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch, _quiet_export():
        for tower in TOWERS:
            float_graph = _export(baseline, tower, Path(scratch) / f"{tower}.onnx", settings["opset"])
            found = _constant_products(float_graph)
            _quantize(float_graph, out, list(found), config, settings)
            products |= {f"{tower}:{name}": size for name, size in found.items()}
            quantized |= {f"{tower}:{name}" for name in _integer_products(out / float_graph.name)}
    assert quantized <= products.keys(), "an integer product that the exported graph lacks"
    return Coverage(
        quantized=len(quantized),
        total=len(products),
        parameters_quantized=sum(products[name] for name in quantized),
        parameters_total=sum(parameter.numel() for parameter in empty_clip(baseline).parameters()),
        kept_float=tuple(name for name in products if name not in quantized),
    )


def read(folder: Path, card: Card) -> Encoder:
    """The Encoder of the stored graphs."""
    return OrtEncoder(folder, card)


class OrtEncoder:
    """The Encoder of two ONNX graphs."""

    def __init__(self, folder: Path, card: Card) -> None:
        """Open both graphs on the CPU."""
        self.preprocessing = card.preprocessing
        self.folder = folder
        self._tokenizer = Tokenizer(folder, card.context_length)
        self._sessions = {tower: _session(folder / f"{tower}.onnx") for tower in TOWERS}
        self.width = int(self._sessions["vision"].get_outputs()[0].shape[1])

    def images(self, pixel_NRR3: Pixels) -> Rows:
        """(N, R, R, 3) uint8 pixels, resized and cropped -> (N, D) float32 rows of length 1."""
        if not len(check_pixels(pixel_NRR3, self.preprocessing)):
            return np.empty((0, self.width), np.float32)
        return self._run("vision", normalised(pixel_NRR3, self.preprocessing).numpy())

    def texts(self, texts: Sequence[str]) -> Rows:
        """N texts, padded to the context length T -> (N, D) float32 rows of length 1."""
        if not len(texts):
            return np.empty((0, self.width), np.float32)
        return self._run("text", self._tokenizer(texts))

    def _run(self, tower: str, values: Any) -> Rows:
        import torch

        name, output = TOWERS[tower]
        return unit_rows(torch.from_numpy(self._sessions[tower].run([output], {name: values})[0]))


def _session(graph: Path) -> Any:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Waiting threads sleep instead of spinning: another process may need the core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.as_posix(), options, providers=["CPUExecutionProvider"])


def _export(baseline: Path, tower: str, graph: Path, opset: int) -> Path:
    """Write one tower with its projection as an ONNX graph, in float32, with an open batch size."""
    import torch
    from optimum.exporters.onnx import export
    from transformers import CLIPConfig, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    whole = CLIPConfig.from_pretrained(baseline, local_files_only=True)
    config = getattr(whole, f"{tower}_config")
    config.projection_dim = whole.projection_dim  # the towers' own field is not kept up to date by every writer
    kind = CLIPVisionModelWithProjection if tower == "vision" else CLIPTextModelWithProjection
    model = kind.from_pretrained(
        baseline, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
    )
    shapes = {"sequence_length": context_length(baseline)} if tower == "text" else {}
    export(model.eval(), _export_config(tower, config), graph, opset=opset, input_shapes=shapes, disable_dynamic_axes_fix=True)
    return graph


def _export_config(tower: str, config: Any) -> Any:
    """Optimum's export of a CLIP tower, narrowed to one input, one output and an open batch size."""
    from optimum.exporters.onnx.model_configs import CLIPTextWithProjectionOnnxConfig, CLIPVisionModelOnnxConfig

    base = CLIPVisionModelOnnxConfig if tower == "vision" else CLIPTextWithProjectionOnnxConfig
    name, output = TOWERS[tower]
    batch = {0: "batch_size"}
    narrowed = type(f"{tower.title()}Tower", (base,), {"inputs": {name: batch}, "outputs": {output: batch}})
    return narrowed(config, task="feature-extraction")


def _constant_products(graph: Path) -> dict[str, int]:
    """Products with a constant matrix: node name -> entries of the matrix."""
    import onnx

    loaded = onnx.load(graph).graph
    sizes = {constant.name: int(np.prod(constant.dims)) for constant in loaded.initializer}
    return {node.name: sizes[node.input[1]] for node in loaded.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in sizes}


def _integer_products(graph: Path) -> list[str]:
    """Names that the graph's integer products had before quantization."""
    import onnx

    return [node.name.removesuffix("_quant") for node in onnx.load(graph).graph.node if node.op_type == "MatMulInteger"]


def _quantize(graph: Path, out: Path, nodes: list[str], clip: Any, settings: Mapping[str, Any]) -> None:
    """Quantize the named nodes of `graph` and write the result to `out` under the same file name."""
    from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import QuantizationConfig

    assert settings["constant_weights_only"], "nodes are named one by one because optimum has no such option"
    config = QuantizationConfig(
        is_static=False,
        format=QuantFormat.QOperator,
        mode=QuantizationMode.IntegerOps,
        activations_dtype=QuantType[settings["activation_type"]],
        activations_symmetric=settings["activations_symmetric"],
        weights_dtype=QuantType[settings["weight_type"]],
        weights_symmetric=settings["weights_symmetric"],
        per_channel=settings["per_channel"],
        reduce_range=settings["reduce_range"],
        operators_to_quantize=list(settings["operators_to_quantize"]),
        nodes_to_quantize=nodes,
    )
    with tempfile.TemporaryDirectory() as scratch:
        ORTQuantizer(graph, config=clip).quantize(config, save_dir=scratch, file_suffix=None)
        (out / graph.name).write_bytes((Path(scratch) / graph.name).read_bytes())


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Keep quiet about the tracer's remarks on checks of fixed shapes, and about its own deprecation, which optimum accepts."""
    with warnings.catch_warnings():
        for message in (
            "Converting a tensor to a Python",
            "Exporting aten::index",
            "The feature will be removed",
            "You are using the legacy",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield
