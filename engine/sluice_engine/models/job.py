"""What a model is fitted on, and what comes of it. Plain data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Job:
    task: str  # binary | multiclass | regression
    classes: int  # K; 0 for regression
    x: np.ndarray  # (N, C) prepared: float64 for linear kinds, float32 with NaN for missing for trees
    y: np.ndarray  # (N,) class numbers, or float64 for regression
    weight: np.ndarray | None  # (N,)
    x_stop: np.ndarray  # (M, C) rows for early stopping; M = 0 without
    y_stop: np.ndarray
    weight_stop: np.ndarray | None  # by the class weights of the training rows: what is watched is what is fitted
    native: dict[int, int]  # columns of categories to split by: column -> n, for 0..n-1
    rounds: int | None  # early stopping patience; None: train every iteration
    params: dict[str, Any]
    seed: int
    threads: int
    out: str  # where files may be written
    cached: Callable[[tuple, Callable[[], Any]], Any]  # cached(what else decides it, make): a matrix of these rows
    progress: Callable[..., None]  # progress(step, of, loss on the stop rows) after each iteration; raises Stopped
    warn: Callable[[str, str], None]

    def given(self) -> dict[str, Any]:
        """Parameters for a boosting library: null leaves it its own default (scikit-learn takes None as a value)."""
        return {name: value for name, value in self.params.items() if value is not None}


@dataclass
class Fitted:
    model: Any
    importances: np.ndarray  # (C,) >= 0, any scale
    iterations: int | None = None  # trees used; None where it has no meaning
    stop_loss: float | None = None  # the best loss on the stop rows, where they were used
