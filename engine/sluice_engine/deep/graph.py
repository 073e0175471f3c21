"""A trained network as one ONNX graph: preparation, the network as torch's dynamo exporter writes it, and the link."""

import contextlib
import io
import logging
import warnings
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from .. import export
from ..export import Nodes
from ..prepare import Preparation

logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that nobody needs here


@dataclass
class Answer:
    """What becomes of a network's answer: the link, and for numbers shift and scale of the labels, of each output."""

    link: str  # sigmoid | softmax | identity
    columns: int  # of what is predicted
    shift: np.ndarray | None = None
    scale: np.ndarray | None = None


def graph(prepared: Preparation, made: onnx.ModelProto, answer: Answer, shape: list[int], task: str) -> bytes:
    """`features` float32 [N, F] or [N, L, F] -> `probability` [N, K] or `prediction` [N, outputs]; `made`: the network's."""
    length, features = (1, shape[0]) if len(shape) == 1 else shape
    nodes = Nodes()
    rows = "features"
    if length > 1:
        rows = reshaped(nodes, rows, [-1, features], "rows")
    name = nodes.add("Cast", [export.matrix(nodes, prepared, features, rows)], "single", to=TensorProto.FLOAT)
    name = reshaped(nodes, name, [-1, length, len(prepared.sources())], "windows")
    name = appended(nodes, made.graph, name)
    name = nodes.add("Cast", [name], "logits", to=TensorProto.DOUBLE)
    if answer.link == "identity":
        name = nodes.add("Mul", [name, nodes.constant("label_scale", answer.scale)], "in_units")
        name = nodes.add("Add", [name, nodes.constant("label_shift", answer.shift)], "shifted")
    outputs = made.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    name, columns = export.linked(nodes, name, answer.link, outputs)
    opsets = {imported.domain: imported.version for imported in made.opset_import if imported.domain == ""}
    return export.whole(nodes, name, shape, columns, task, opsets)


def network_proto(network: nn.Module, length: int, channels: int) -> onnx.ModelProto:
    """(B, L, C) -> (B, outputs) for any B."""
    example = torch.zeros(2, length, channels)  # a batch of one would be taken for a fixed one
    sizes = ({0: torch.export.Dim("N")},)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            input_names=["windows"],
            output_names=["answer"],
            dynamic_shapes=sizes,
            verbose=False,
        )
    return program.model_proto


def appended(nodes: Nodes, body: onnx.GraphProto, given: str) -> str:
    """Adds the nodes of a graph of one input and one output, each name with `network.` before it; gives its answer's."""
    taken = onnx.compose.add_prefix_graph(body, "network.", inplace=False)
    inside, outside = taken.input[0].name, taken.output[0].name
    for node in taken.node:
        node.input[:] = [given if name == inside else name for name in node.input]
        del node.metadata_props[:]  # where in the code it comes from
        node.doc_string = ""
        nodes.nodes.append(node)
    for constant in taken.initializer:
        del constant.metadata_props[:]
        nodes.constants.append(constant)
    return outside


def reshaped(nodes: Nodes, name: str, shape: list[int], output: str) -> str:
    return nodes.add("Reshape", [name, nodes.constant(f"{output}_shape", np.array(shape, np.int64))], output)
