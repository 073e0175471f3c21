"""What a network, or the graph that is made of it, answers."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .. import export, fit
from ..data import Sequence
from ..protocol import Failure, Forecast
from . import trainer
from .graph import Answer
from .windows import Windows

PREDICTED = 256  # rows of every pass: kernels round by the size of a batch, and a row's answer must not depend on it
Answers = Callable[[Tensor], Tensor]  # (B, L, C) -> (B, outputs)


def full_passes(network: nn.Module, x: Tensor) -> Tensor:
    """(B, L, C) -> (B, outputs), in a pass of PREDICTED rows whatever B is."""
    full = torch.cat([x, x[-1:].expand(PREDICTED - len(x), -1, -1)])
    return trainer.answer(network, full, torch.device("cpu"))[: len(x)]


def predictions(read: Answers, windows: Windows, rows: np.ndarray, answer: Answer) -> np.ndarray:
    """(N, K) float32 probabilities, or (N, outputs) values. NOT_FINITE."""
    blocks = torch.from_numpy(rows).split(PREDICTED) if len(rows) else []
    made = [np.empty((0, answer.columns))]
    made += [linked(read(windows.batch(block)).double(), answer).numpy() for block in blocks]
    with np.errstate(over="ignore"):
        predicted = np.concatenate(made).astype(np.float32)
    if not np.isfinite(predicted).all():
        raise Failure("NOT_FINITE", "the model predicts values that are not finite")
    return predicted


def linked(scores: Tensor, answer: Answer) -> Tensor:
    if answer.link == "softmax":
        return scores.softmax(1)
    if answer.link == "identity":
        return scores * torch.from_numpy(answer.scale) + torch.from_numpy(answer.shift)
    one = scores.sigmoid()
    return torch.cat([1 - one, one], 1)


def onnx_predictions(
    model: bytes, raw: Sequence, length: int, rows: np.ndarray, answer: Answer, threads: int, at_once: int
) -> np.ndarray:
    """(N, K) float32: what onnxruntime makes of raw rows, `at_once` in a run."""
    session = export.session(model, threads)
    made = [np.empty((0, answer.columns), np.float32)]
    for block in np.array_split(rows, math.ceil(len(rows) / at_once) or 1):
        ends = raw.ends[block]
        if len(ends):
            given = raw.features[ends] if length == 1 else raw.features[ends[:, None] + np.arange(1 - length, 1)]
            made.append(session.run(None, {"features": np.ascontiguousarray(given)})[0])
    return np.concatenate(made)


def rows_at_once(values: int) -> int:
    """Rows of so many values each that take 16 MB together."""
    return max(1, (1 << 22) // values)


def named(predicted: np.ndarray, forecast: Forecast | None) -> dict[str, np.ndarray]:
    """Columns of predictions.arrow; of a forecast h1_A, h1_B, h2_A ...: step and feature."""
    if forecast is None:
        return fit.named(predicted)
    names = [f"h{step + 1}_{name}" for step in range(forecast.horizon) for name in forecast.of]
    return dict(zip(names, predicted.T, strict=True))
