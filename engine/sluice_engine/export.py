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

from .prepare import CategoryColumns, NumberColumns, Preparation
from .structure import Ensemble, Linear, Sets, Tree

OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
MODES = {"<": "BRANCH_LT", "<=": "BRANCH_LEQ", ">": "BRANCH_GT"}
OUTPUT = {"binary": "probability", "multiclass": "probability", "regression": "prediction", "forecast": "prediction"}


def graph(prepared: Preparation, model: Ensemble | Linear, features: int, task: str) -> bytes:
    """`features` float32 [N, F] -> `probability` [N, K] or `prediction` [N, 1], float32. Equal models give equal bytes."""
    nodes = Nodes()
    write = ensemble if isinstance(model, Ensemble) else linear
    name, columns = write(nodes, matrix(nodes, prepared, features), model)
    return whole(nodes, name, [features], columns, task, OPSETS)


def whole(nodes: "Nodes", name: str, shape: list[int], columns: int, task: str, opsets: dict[str, int]) -> bytes:
    """The model whose `features` have a shape of [N, *shape] and whose answer is `name`, [N, columns]."""
    nodes.add("Cast", [name], OUTPUT[task], to=TensorProto.FLOAT)
    body = helper.make_graph(
        nodes.nodes,
        "sluice",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info(OUTPUT[task], TensorProto.FLOAT, ["N", columns])],
        nodes.constants,
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(body, producer_name="sluice", opset_imports=imports, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


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


def matrix(nodes: Nodes, prepared: Preparation, features: int, rows: str = "features") -> str:
    """What prepare.apply does to `rows` [N, F], in its order and precision."""
    precision = helper.np_dtype_to_tensor_dtype(prepared.numbers.fill.dtype)
    groups = numbers(nodes, rows, prepared.numbers, features, precision)
    groups += categories(nodes, rows, prepared.categories, precision)
    name = groups[0] if len(groups) == 1 else nodes.add("Concat", groups, "prepared", axis=1)
    if prepared.shift is None:
        return name
    name = nodes.add("Sub", [name, nodes.constant("shift", prepared.shift)], "centred")
    return nodes.add("Div", [name, nodes.constant("scale", prepared.scale)], "scaled")


def numbers(nodes: Nodes, rows: str, made: NumberColumns, features: int, precision: int) -> list[str]:
    if not len(made.features):
        return []
    name = rows if len(made.features) == features else columns_of(nodes, rows, made.features, "numbers")
    groups = []
    if len(made.indicated):
        missing = nodes.add("IsNaN", [columns_of(nodes, name, made.indicated, "indicated")], "indicated_missing")
        groups = [nodes.add("Cast", [missing], "indicators", to=precision)]
    if np.isfinite(made.low).any():
        name = clipped(nodes, name, "Less", made.low, "low")
        name = clipped(nodes, name, "Greater", made.high, "high")
    if precision == TensorProto.DOUBLE:
        name = nodes.add("Cast", [name], "exact", to=precision)
    if not np.isnan(made.fill).all():
        missing = nodes.add("IsNaN", [name], "missing")
        name = nodes.add("Where", [missing, nodes.constant("fill", made.fill), name], "filled")
    return [name, *groups]


def clipped(nodes: Nodes, name: str, beyond: str, bound: np.ndarray, side: str) -> str:
    """Not by Clip, Min or Max, which do not all let a missing value through."""
    limit = nodes.constant(side, bound)
    return nodes.add("Where", [nodes.add(beyond, [name, limit], f"beyond_{side}"), limit, name], f"within_{side}")


def categories(nodes: Nodes, rows: str, made: CategoryColumns, precision: int) -> list[str]:
    if not len(made.features):
        return []
    raw = columns_of(nodes, rows, made.features, "raw_codes")
    words = nodes.constant("words", made.words.astype(np.float32))
    missing = nodes.constant("missing_code", made.missing.astype(np.float32))
    above = nodes.add("GreaterOrEqual", [raw, nodes.constant("zero_code", np.zeros(1, np.float32))], "not_negative")
    inside = nodes.add("And", [above, nodes.add("Less", [raw, words], "below_words")], "is_word")
    known = nodes.add("Where", [inside, raw, words], "known_codes")
    code = nodes.add("Where", [nodes.add("IsNaN", [raw], "codes_missing"), missing, known], "float_codes")
    code = nodes.add("Cast", [code], "codes", to=TensorProto.INT64)
    groups = []
    if len(made.hot):
        hot = nodes.constant("hot_codes", made.hot.astype(np.int64))
        hot = nodes.add("Equal", [columns_of(nodes, code, made.hot_of, "codes_if_hot"), hot], "is_hot")
        groups.append(nodes.add("Cast", [hot], "hot", to=precision))
    if len(made.table):
        found = looked_up(nodes, columns_of(nodes, code, made.table_of, "codes_in_table"), made.table, "table")
        groups.append(nodes.add("Cast", [found], "looked_up", to=precision))
    return groups


def sets(nodes: Nodes, name: str, asked: Sets) -> str:
    """The columns of the sets, float32: where the rows' categories are looked up in them."""
    category = columns_of(nodes, name, asked.column, "split_categories")
    last = nodes.constant("no_category", np.array([asked.no.shape[1] - 1], np.float32))
    category = nodes.add("Where", [nodes.add("IsNaN", [category], "no_split_category"), last, category], "split_codes")
    category = nodes.add("Cast", [category], "split_rows", to=TensorProto.INT64)
    return nodes.add("Cast", [looked_up(nodes, category, asked.no, "sets")], "goes_to_no", to=TensorProto.FLOAT)


def looked_up(nodes: Nodes, code: str, table: np.ndarray, name: str) -> str:
    """Column t of the codes [N, T] looked up in row t of the table [T, W]: all rows of it in one line, one Gather."""
    start = nodes.constant(f"{name}_start", np.arange(len(table)) * table.shape[1])
    place = nodes.add("Add", [code, start], f"{name}_place")
    return nodes.add("Gather", [nodes.constant(name, table.ravel()), place], f"{name}_value", axis=0)


def columns_of(nodes: Nodes, name: str, columns: np.ndarray, output: str) -> str:
    return nodes.add("Gather", [name, nodes.constant(f"{output}_of", columns.astype(np.int64))], output, axis=1)


def linear(nodes: Nodes, name: str, model: Linear) -> tuple[str, int]:
    name = nodes.add("MatMul", [name, nodes.constant("coef", model.coef.T)], "product")
    name = nodes.add("Add", [name, nodes.constant("intercept", model.intercept)], "score")
    return linked(nodes, name, model.link, len(model.coef))


def ensemble(nodes: Nodes, name: str, model: Ensemble) -> tuple[str, int]:
    """In float64 a float32 feature compares with a float64 threshold exactly, and sums hold no rounding that shows."""
    if model.sets:
        name = nodes.add("Concat", [name, sets(nodes, name, model.sets)], "with_sets", axis=1)
    if not model.float32:
        name = nodes.add("Cast", [name], "double", to=TensorProto.DOUBLE)
    name = nodes.add("TreeEnsembleRegressor", [name], "sum", "ai.onnx.ml", **tree_attributes(model))
    name = nodes.add("Cast", [name], "score", to=TensorProto.DOUBLE)
    return linked(nodes, name, model.link, model.targets)


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
    return session(graph, threads).run(None, {"features": x})[0]


def session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
