"""Fitted models as plain arrays, between the libraries and ONNX: trees of nodes, or a linear map behind a scaler."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

LINK = {"binary": "sigmoid", "multiclass": "softmax", "regression": "identity"}  # from summed scores to predictions


@dataclass
class Tree:
    """n nodes, the root first. A row goes to `yes` where `x[feature] compare threshold`, else to `no`; a leaf has feature -1."""

    feature: np.ndarray  # (n,) int
    threshold: np.ndarray  # (n,) float64
    yes: np.ndarray  # (n,) int
    no: np.ndarray  # (n,) int
    nan_yes: np.ndarray  # (n,) bool: where a missing value goes
    leaf: np.ndarray  # (n, T) float64, added to the T targets from `target` on; ignored at inner nodes
    target: int = 0


@dataclass
class Ensemble:
    """The sum of trees, then the link. `float32` adds up in float32 in tree order, as XGBoost does; else in float64."""

    trees: list[Tree]
    compare: Literal["<", "<=", ">"]
    targets: int
    link: Literal["sigmoid", "softmax", "identity"]
    float32: bool = False
    fill: np.ndarray | None = None  # (F,) float32 put in for missing values first


@dataclass
class Linear:
    """link(((x or fill) - mean) / scale @ coef.T + intercept), all in float64."""

    fill: np.ndarray  # (F,)
    mean: np.ndarray  # (F,)
    scale: np.ndarray  # (F,)
    coef: np.ndarray  # (T, F)
    intercept: np.ndarray  # (T,)
    link: Literal["sigmoid", "softmax"]


def size(model: Ensemble | Linear) -> int:
    """Bytes of the arrays: what a model weighs, whatever file it is written to."""
    if isinstance(model, Linear):
        return model.coef.nbytes + model.intercept.nbytes
    return sum(tree.feature.nbytes + tree.threshold.nbytes + tree.leaf.nbytes for tree in model.trees)


def constant(value: float, target: int = 0) -> Tree:
    """A tree that is one leaf: a bias, added first."""
    zero, one = np.zeros(1, int), np.full((1, 1), value, float)
    return Tree(zero - 1, np.zeros(1), zero, zero, np.zeros(1, bool), one, target)
