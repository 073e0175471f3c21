"""Fitted models as plain arrays, between the libraries and ONNX: trees of nodes, or a linear map. Both read a prepared matrix."""

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
class Sets:
    """Splits by category as S columns to compare with 0.5: 1 where a row goes to `no`. They need no kind of node of their own."""

    column: np.ndarray  # (S,) the column of the matrix whose category is asked for
    no: np.ndarray  # (S, W) 0 or 1 by category; the last is for NaN


@dataclass
class Ensemble:
    """The sum of trees, then the link. `float32` adds up in float32 in tree order, as XGBoost does; else in float64."""

    trees: list[Tree]
    compare: Literal["<", "<=", ">"]
    targets: int
    link: Literal["sigmoid", "softmax", "identity"]
    float32: bool = False
    sets: Sets | None = None  # columns behind those of the matrix


@dataclass
class Linear:
    """link(x @ coef.T + intercept), all in float64."""

    coef: np.ndarray  # (T, C)
    intercept: np.ndarray  # (T,)
    link: Literal["sigmoid", "softmax", "identity"]


def size(model: Ensemble | Linear) -> int:
    """Bytes of the arrays: what a model weighs, whatever file it is written to."""
    if isinstance(model, Linear):
        return model.coef.nbytes + model.intercept.nbytes
    return sum(tree.feature.nbytes + tree.threshold.nbytes + tree.leaf.nbytes for tree in model.trees)


class SetColumns:
    """Numbers the columns of Sets while trees are read; equal questions are one column."""

    def __init__(self, columns: int, native: dict[int, int]):
        self.columns, self.native = columns, native
        self.width = max(native.values(), default=0) + 1
        self.numbered: dict[tuple[int, bytes], int] = {}

    def add(self, column: int, members: list[int], member_no: bool, nan_no: bool) -> int:
        """The column that is 1 where a row goes to `no`: the members, or all others; a missing value as it is told."""
        no = np.full(self.width, not member_no, np.uint8)
        no[members] = member_no
        no[-1] = nan_no
        return self.columns + self.numbered.setdefault((column, no.tobytes()), len(self.numbered))

    def made(self) -> Sets | None:
        if not self.numbered:
            return None
        column, no = zip(*self.numbered, strict=True)
        return Sets(np.array(column), np.frombuffer(b"".join(no), np.uint8).reshape(-1, self.width))


def constant(value: float, target: int = 0) -> Tree:
    """A tree that is one leaf: a bias, added first."""
    zero, one = np.zeros(1, int), np.full((1, 1), value, float)
    return Tree(zero - 1, np.zeros(1), zero, zero, np.zeros(1, bool), one, target)
