"""Fitted models as ONNX graphs, written node by node, and run back with onnxruntime.

The field's converters are not used, because two of their habits cost parity: LightGBM's thresholds are rounded to
float32, and its two ways to treat a missing value are taken for one (0.96 and 0.012 off on hard data).
"""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# From 1.29 on it reports models to its vendor and keeps an id in the home directory, unless told not to before it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

from .structure import Ensemble, Linear, Tree

OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
MODES = {"<": "BRANCH_LT", "<=": "BRANCH_LEQ", ">": "BRANCH_GT"}
OUTPUT = {"binary": "probability", "multiclass": "probability", "regression": "prediction"}


def graph(model: Ensemble | Linear, features: int, task: str) -> bytes:
    """`features` float32 [N, F] -> `probability` [N, K] or `prediction` [N, 1], float32. Equal models give equal bytes."""
    nodes = Nodes()
    write = ensemble if isinstance(model, Ensemble) else linear
    name, columns = write(nodes, model)
    nodes.add("Cast", [name], OUTPUT[task], to=TensorProto.FLOAT)
    body = helper.make_graph(
        nodes.nodes,
        "sluice",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", features])],
        [helper.make_tensor_value_info(OUTPUT[task], TensorProto.FLOAT, ["N", columns])],
        nodes.constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    whole = helper.make_model(body, producer_name="sluice", opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(whole, full_check=True)
    return whole.SerializeToString(deterministic=True)


class Nodes:
    """A graph in the making; each added node is named after its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


def linear(nodes: Nodes, model: Linear) -> tuple[str, int]:
    name = nodes.add("Cast", ["features"], "exact", to=TensorProto.DOUBLE)
    name = filled(nodes, name, model.fill)
    name = nodes.add("Sub", [name, nodes.constant("mean", model.mean)], "centred")
    name = nodes.add("Div", [name, nodes.constant("scale", model.scale)], "scaled")
    name = nodes.add("MatMul", [name, nodes.constant("coef", model.coef.T)], "product")
    name = nodes.add("Add", [name, nodes.constant("intercept", model.intercept)], "score")
    return linked(nodes, name, model.link, len(model.coef))


def ensemble(nodes: Nodes, model: Ensemble) -> tuple[str, int]:
    """In float64 a float32 feature compares with a float64 threshold exactly, and sums hold no rounding that shows."""
    name = "features" if model.fill is None else filled(nodes, "features", model.fill)
    if not model.float32:
        name = nodes.add("Cast", [name], "exact", to=TensorProto.DOUBLE)
    name = nodes.add("TreeEnsembleRegressor", [name], "sum", "ai.onnx.ml", **tree_attributes(model))
    name = nodes.add("Cast", [name], "score", to=TensorProto.DOUBLE)
    return linked(nodes, name, model.link, model.targets)


def filled(nodes: Nodes, name: str, fill: np.ndarray) -> str:
    missing = nodes.add("IsNaN", [name], "missing")
    return nodes.add("Where", [missing, nodes.constant("fill", fill), name], "filled")


def linked(nodes: Nodes, name: str, link: str, columns: int) -> tuple[str, int]:
    """Scores [N, T] to predictions, and how many columns they have."""
    if link == "softmax":
        return nodes.add("Softmax", [name], "softmax", axis=1), columns
    if link == "identity":
        return name, columns
    one = nodes.add("Sigmoid", [name], "one")
    zero = nodes.add("Sub", [nodes.constant("unit", np.ones((1, 1))), one], "zero")
    return nodes.add("Concat", [zero, one], "both", axis=1), 2


def tree_attributes(model: Ensemble) -> dict:
    """The attributes of a TreeEnsembleRegressor: all nodes of all trees in one list each, then all weights of all leaves."""
    sizes = [len(tree.feature) for tree in model.trees]
    tree_of, node_of = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])
    feature, threshold, yes, no, nan_yes = (
        np.concatenate([getattr(tree, name) for tree in model.trees])
        for name in ("feature", "threshold", "yes", "no", "nan_yes")
    )
    leaf = feature < 0
    lists = {
        "nodes_treeids": tree_of,
        "nodes_nodeids": node_of,
        "nodes_featureids": np.where(leaf, 0, feature),
        "nodes_truenodeids": np.where(leaf, 0, yes),
        "nodes_falsenodeids": np.where(leaf, 0, no),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, nan_yes),
        **leaf_weights(model.trees, tree_of[leaf], node_of[leaf]),
    }
    branch, precision = MODES[model.compare], np.float32 if model.float32 else np.float64
    tensors = {
        "nodes_values_as_tensor": np.where(leaf, 0, threshold),
        "target_weights_as_tensor": np.concatenate([tree.leaf[tree.feature < 0].ravel() for tree in model.trees]),
    }
    return {
        "n_targets": model.targets,
        "nodes_modes": ["LEAF" if end else branch for end in leaf],
        **{name: values.tolist() for name, values in lists.items()},
        **{name: numpy_helper.from_array(values.astype(precision), name) for name, values in tensors.items()},
    }


def leaf_weights(trees: list[Tree], tree_of: np.ndarray, node_of: np.ndarray) -> dict[str, np.ndarray]:
    """Where each leaf's weights go: one entry per leaf and target, leaves in the order of the nodes."""
    leaves = [int(np.sum(tree.feature < 0)) for tree in trees]
    widths = np.repeat([tree.leaf.shape[1] for tree in trees], leaves)
    targets = [
        np.tile(np.arange(tree.leaf.shape[1]) + tree.target, count) for tree, count in zip(trees, leaves, strict=True)
    ]
    return {
        "target_treeids": np.repeat(tree_of, widths),
        "target_nodeids": np.repeat(node_of, widths),
        "target_ids": np.concatenate(targets),
    }


def run(graph: bytes, x: np.ndarray, threads: int) -> np.ndarray:
    """The graph's only output on (N, F) float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"features": x})[0]
