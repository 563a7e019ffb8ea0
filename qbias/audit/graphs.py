"""The quantized products of stored ONNX graphs, each cut out as a graph of its own, and the bytes of the constants.

A product is the chain that ONNX Runtime's dynamic quantization writes: DynamicQuantizeLinear, MatMulInteger, Cast, Mul by both scales.
What runs is the stored nodes and constants themselves, in ONNX Runtime; the bias is added elsewhere in the graph.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qbias.audit.layers import Call, Layers

INTEGER = "MatMulInteger"


def layer_name(node: str) -> str:
    """The baseline's layer of a node's name: `vision:/visual_projection/MatMul_quant` -> `visual_projection`.

    Names of modules come back unchanged, so entries of any quantizer's coverage can be read with it.

    Examples
    --------
    >>> layer_name("vision:/vision_model/encoder/layers.0/mlp/fc1/MatMul"), layer_name("text_model.encoder.layers.0.mlp.fc1")
    ('vision_model.encoder.layers.0.mlp.fc1', 'text_model.encoder.layers.0.mlp.fc1')
    """
    path = node.rpartition(":")[2].removesuffix("_quant").strip("/")
    return path.removesuffix("/MatMul").removesuffix("/Gemm").replace("/", ".")


def constant_bytes(folder: Path) -> int:
    """Bytes of the constants (initializers) of all graphs in a folder, in the types they are stored in."""
    import onnx

    total = 0
    for graph in _models(folder):
        for constant in graph.graph.initializer:
            total += int(np.prod(constant.dims)) * onnx.helper.tensor_dtype_to_np_dtype(constant.data_type).itemsize
    return total


def graph_layers(folder: Path, names: Collection[str]) -> Layers:
    """The named layers, as far as the folder's graphs have an integer product of that name."""
    calls: dict[str, Call] = {}
    for model in _models(folder):
        constants = {constant.name: constant for constant in model.graph.initializer}
        producers = {output: node for node in model.graph.node for output in node.output}
        followers = {name: node for node in model.graph.node for name in node.input if node.op_type in ("Cast", "Mul")}
        for node in model.graph.node:
            if node.op_type == INTEGER and (name := layer_name(node.name)) in names:
                calls[name] = _call(_cut_out(node, model, constants, producers, followers))
    return Layers(calls, biased=False)


def _models(folder: Path) -> Iterator[Any]:
    import onnx

    return (onnx.load(file) for file in sorted(folder.glob("*.onnx")))


def _cut_out(node: Any, model: Any, constants: Mapping[str, Any], producers: Mapping[str, Any], followers: Mapping[str, Any]) -> Any:
    """A model with one product: from the float input of its DynamicQuantizeLinear to the float output."""
    import onnx

    rounding = producers[node.input[0]]
    assert rounding.op_type == "DynamicQuantizeLinear", "an integer product whose input is not rounded by its own graph"
    cast = followers[node.output[0]]
    scaled = followers[cast.output[0]]
    scales = next(producers[name] for name in scaled.input if name not in cast.output)
    nodes = [rounding, scales, node, cast, scaled]
    used = {name for part in nodes for name in part.input}
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (rounding.input[0], scaled.output[0])]
    graph = onnx.helper.make_graph(nodes, "layer", ends[:1], ends[1:], [constants[name] for name in sorted(used & constants.keys())])
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _call(model: Any) -> Call:
    """The one-product model as a Call."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda row_Bi: torch.from_numpy(session.run(None, {given.name: row_Bi.numpy()})[0])
