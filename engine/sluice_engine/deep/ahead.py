"""What a forecast learns and is judged by: the rows after a sample's own, in the units that their features are prepared to."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .. import data
from ..prepare import Preparation
from ..protocol import Failure, Forecast

AT_ONCE = 1 << 22  # values


@dataclass
class Ahead:
    """Targets of samples, gathered from the mapped rows when a batch asks: (N, H, K) never exists. Neither clipped nor filled."""

    rows: np.ndarray  # (M, F) raw
    ends: np.ndarray  # (N,) the row that each sample ends with
    known: np.ndarray  # (N,) whether every value ahead of it is there
    horizon: int  # H
    of: np.ndarray  # (K,) features
    shift: np.ndarray  # (K,) what their preparation takes off
    scale: np.ndarray  # (K,) and divides by

    def at(self, samples: np.ndarray) -> "Ahead":
        return replace(self, ends=self.ends[samples], known=self.known[samples])

    def __getitem__(self, samples: Tensor) -> Tensor:
        """(B,) -> (B, H * K), step by step."""
        return torch.from_numpy(self.steps(self.ends[samples.numpy()], 1, self.horizon).reshape(len(samples), -1))

    def steps(self, ends: np.ndarray, first: int, last: int) -> np.ndarray:
        """(B, last - first + 1, K) float32, scaled: the rows so many steps after each end."""
        places = ends[:, None] + np.arange(first, last + 1)
        return ((self.rows[places[:, :, None], self.of] - self.shift) / self.scale).astype(np.float32)


def ahead_of(raw: data.Sequence, asked: Forecast, features: list[str], prepared: Preparation) -> Ahead:
    of = np.array([features.index(name) for name in asked.of])
    columns = columns_of(prepared, of)
    whole = np.concatenate([[0], np.cumsum(np.isfinite(raw.features[:, of]).all(axis=1))])  # (M + 1,) whole rows before
    behind = np.minimum(raw.ends + 1 + asked.horizon, len(raw.features))
    known = (raw.after() >= asked.horizon) & (whole[behind] - whole[raw.ends + 1] == asked.horizon)
    return Ahead(raw.features, raw.ends, known, asked.horizon, of, prepared.shift[columns], prepared.scale[columns])


def columns_of(prepared: Preparation, features: np.ndarray) -> np.ndarray:
    """(K,) columns that features which hold numbers are prepared to: they come first, in their order."""
    return np.searchsorted(prepared.numbers.features, features)


def check_reach(raw: data.Sequence, horizon: int, rows: np.ndarray) -> None:
    """BAD_REQUEST where the symbol of a sample that is learned from ends before its horizon."""
    after = raw.after()[rows]
    if (after < horizon).any():
        first = np.argmax(after < horizon)
        raise Failure("BAD_REQUEST", f"sample {rows[first]} has {after[first]} rows of its symbol after it, not {horizon}")


def check_known(ahead: Ahead, rows: np.ndarray) -> None:
    """NOT_FINITE where a value is missing that is learned from."""
    if not ahead.known[rows].all():
        count = np.sum(~ahead.known[rows])
        raise Failure("NOT_FINITE", f"{count} of the {len(rows)} samples have a missing value ahead of them")


def errors(ahead: Ahead, rows: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """(H,) mean errors of each step in scaled units, of predictions (N, H * K) in units and of the last value; NaN without any."""
    horizon, channels = ahead.horizon, len(ahead.of)
    totals = {name: np.zeros(horizon) for name in ("mse", "mae", "naive_mse", "naive_mae")}
    known = np.flatnonzero(ahead.known[rows])
    for block in np.array_split(known, len(known) * horizon * channels // AT_ONCE + 1):
        ends = ahead.ends[rows[block]]
        y = ahead.steps(ends, 1, horizon).astype(np.float64)
        given = (predicted[block].reshape(-1, horizon, channels) - ahead.shift) / ahead.scale
        for prefix, answer in (("", given), ("naive_", ahead.steps(ends, 0, 0))):
            totals[f"{prefix}mse"] += ((answer - y) ** 2).sum(axis=(0, 2))
            totals[f"{prefix}mae"] += np.abs(answer - y).sum(axis=(0, 2))
    count = len(known) * channels
    return {name: total / count if count else np.full(horizon, np.nan) for name, total in totals.items()}
